package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/logging"
	"github.com/postern-gateway/postern/dataplane/identity"
	"github.com/postern-gateway/postern/dataplane/pod"
)

const (
	defaultDrainDelay   = 5 * time.Second
	defaultDrainTimeout = 30 * time.Second
)

func dataplaneCommand() *cobra.Command {
	var config pod.Config
	var log logging.Config
	c := &cobra.Command{
		Use:   "dataplane --xds HOST:PORT --xds-cert-dir DIR",
		Short: "Run a data plane that a control plane elsewhere configures",
		Long: `Runs Envoy, or with --data-plane go the proxy in Go, as the process of a pod. It asks the control
plane by mTLS and is ready once a first configuration is in force; while the control plane is away
it serves on by what it has.

A SIGTERM drains it: not ready, it serves on for --drain-delay, then every answer ends its
connection, and the process ends when the last is gone, or after --drain-timeout. A second SIGTERM
ends it at once.`,
		Example: `  postern dataplane --xds postern-controlplane.postern-system.svc.cluster.local.:18000 --xds-cert-dir /certs
  postern dataplane --data-plane go --xds 127.0.0.1:18000 --xds-cert-dir certs/dataplane`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if config.XDS == "" || config.CertDir == "" {
				return fmt.Errorf("say where the control plane is and what to show it: --xds HOST:PORT --xds-cert-dir DIR")
			}
			if config.Log, err = log.New(c.ErrOrStderr()); err != nil {
				return err
			}
			logging.Bridge(config.Log)
			if config.NodeID == "" {
				if config.NodeID, err = defaultIdentity(); err != nil {
					return err
				}
			}
			config.AccessLog = c.OutOrStdout()
			return pod.Run(c.Context(), config)
		},
	}
	f := c.Flags()
	f.StringVar(&config.DataPlane, "data-plane", pod.Envoy, "envoy or go")
	f.StringVar(&config.EnvoyPath, "envoy-path", "", "Envoy's binary (default: $ENVOY, the one that make envoy installed, or envoy in PATH)")
	f.StringVar(&config.XDS, "xds", "", "HOST:PORT of the control plane; a name with a dot at its end is looked up as it stands")
	f.StringVar(&config.CertDir, "xds-cert-dir", "", "folder with tls.crt, tls.key and ca.crt for the control plane; read again on change")
	f.StringVar(&config.ServerName, "xds-server-name", identity.ControlPlaneName, "DNS name in the control plane's certificate")
	f.StringVar(&config.NodeID, "node-id", "", "what this proxy calls itself (default: $POD_NAME, or the host's name)")
	f.StringVar(&config.Folder, "folder", "", "writable folder for sockets and Envoy's files (default: a temporary one)")
	f.StringVar(&config.Health, "health", "0.0.0.0:8082", "address of /healthz, /readyz and /metrics")
	f.DurationVar(&config.DrainDelay, "drain-delay", defaultDrainDelay, "how long to serve on, not ready, before draining")
	f.DurationVar(&config.DrainTimeout, "drain-timeout", defaultDrainTimeout, "how long connections may take to end then")
	f.IntVar(&config.Concurrency, "concurrency", 0, "threads that serve (default: the container's CPUs)")
	log.Register(f)
	c.AddCommand(drainCommand())
	return c
}

func drainCommand() *cobra.Command {
	var folder string
	c := &cobra.Command{
		Use:     "drain --folder DIR",
		Short:   "Drain the data plane of a folder and wait until it is done: the preStop hook",
		Example: "  postern dataplane drain --folder /run/postern",
		Args:    onlyFlags,
		RunE:    func(c *cobra.Command, _ []string) error { return pod.Drain(c.Context(), folder) },
	}
	c.Flags().StringVar(&folder, "folder", "", "the --folder of the data plane")
	return c
}

// defaultIdentity is the name of the pod that the process is in, or of the machine.
func defaultIdentity() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name, nil
	}
	return os.Hostname()
}
