package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/cluster"
	"github.com/postern-gateway/postern/controlplane/logging"
)

func controlplaneCommand() *cobra.Command {
	var config cluster.Config
	var log logging.Config
	c := &cobra.Command{
		Use:   "controlplane --xds-cert-dir DIR",
		Short: "Watch a cluster and tell data planes elsewhere what to serve",
		Long: `Watches a cluster's Ingresses and what they refer to, and serves their configuration to data planes
(postern dataplane) by xDS over mTLS. An edit is in force in every data plane with no restart; one
that brings an error leaves the version before in service (docs/design/last-good.md) and is told as
an Event. There is no other way to ask than with a data plane's certificate.

--http and --https are where the data planes' pods listen.

Ingresses get the addresses of --publish-service, or those of --publish-address, in their status.
Of several replicas each serves data planes, and the leader writes status and Events.`,
		Example: `  postern controlplane --xds-cert-dir /certs --publish-service postern-system/postern-dataplane
  postern controlplane --kubeconfig ~/.kube/config --xds-cert-dir certs/controlplane --lease-namespace default`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := completeControlPlane(&config); err != nil {
				return err
			}
			if config.Log, err = log.New(c.ErrOrStderr()); err != nil {
				return err
			}
			logging.Bridge(config.Log)
			built := builtOf()
			config.Version, config.Commit = built.Version, built.Revision
			config.Access.UserAgent = "postern/" + built.Version
			return cluster.Run(c.Context(), config)
		},
	}
	f := c.Flags()
	f.StringVar(&config.Access.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: the pod's service account, else as kubectl)")
	f.StringVar(&config.Access.Context, "context", "", "context of the kubeconfig")
	f.StringSliceVar(&config.Namespaces, "namespace", nil, "watch this namespace only; may be repeated")
	config.Options.RegisterCluster(f)
	f.StringSliceVar(&config.DNSServers, "dns-server", nil, "ADDRESS or ADDRESS:PORT of a DNS server for ExternalNames outside the cluster; may be repeated (default: those of /etc/resolv.conf)")
	f.StringVar(&config.XDS, "xds", "0.0.0.0:18000", "address that data planes ask at")
	f.StringVar(&config.XDSCertDir, "xds-cert-dir", "", "folder with tls.crt, tls.key and ca.crt for data planes; read again on change")
	f.StringVar(&config.PublishService, "publish-service", "", "Service NAMESPACE/NAME whose addresses Ingresses get")
	f.StringSliceVar(&config.PublishAddresses, "publish-address", nil, "IP address or host name that Ingresses get; may be repeated")
	f.StringVar(&config.LeaseNamespace, "lease-namespace", "", "namespace of the Lease by which replicas choose who writes status and Events (default: $POD_NAMESPACE)")
	f.StringVar(&config.LeaseName, "lease-name", "postern", "name of the Lease that replicas share")
	f.StringVar(&config.Identity, "identity", "", "what this replica calls itself in the Lease (default: $POD_NAME, or the host's name)")
	f.StringVar(&config.Health, "health", "0.0.0.0:8081", "address of /healthz, /livez and /readyz; empty has none")
	f.StringVar(&config.Metrics, "metrics", "0.0.0.0:9090", "address of /metrics; empty has none")
	f.StringVar(&config.PProf, "pprof", "", "loopback address of Go's profiles, e.g. 127.0.0.1:6060")
	config.Inspect.Register(f)
	log.Register(f)
	return c
}

// completeControlPlane fills in what the environment says, and finds what is missing.
func completeControlPlane(c *cluster.Config) (err error) {
	if c.XDSCertDir == "" {
		return errors.New("--xds-cert-dir DIR is missing: data planes are served by mTLS only; postern certs makes certificates")
	}
	if c.XDS == "" {
		return errors.New("--xds is empty, so no data plane could be served")
	}
	if c.Identity == "" {
		if c.Identity, err = defaultIdentity(); err != nil {
			return fmt.Errorf("ask for the host's name, or give --identity: %w", err)
		}
	}
	if c.LeaseNamespace == "" {
		c.LeaseNamespace = os.Getenv("POD_NAMESPACE")
	}
	if c.LeaseNamespace == "" {
		return errors.New("--lease-namespace NAMESPACE is missing, and $POD_NAMESPACE is not set")
	}
	return nil
}
