package main

import (
	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/up"
)

func upCommand() *cobra.Command {
	var in input
	config := up.Config{}
	c := &cobra.Command{
		Use:   "up -f PATH",
		Short: "Serve manifests from files, with no cluster; edits are live at once",
		Long: `Serves a folder of manifests on this machine: control plane and data plane in one process,
besides Envoy where that is chosen. The files are watched; an edit is live in both data planes
with no restart. A file that stops parsing keeps serving what it held. Ctrl-C ends everything.

With -o json standard output is one JSON object a line: what is served, what changes, diagnostics,
failures of backends. The log stays on standard error.`,
		Example: `  postern up -f manifests/
  postern up -f manifests/ --ingress-selector app=traefik --upstream-insecure-skip-verify
  postern up -f ingress.yaml --backend default/web:80=127.0.0.1:3000 --data-plane envoy`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := in.check(); err != nil {
				return err
			}
			config.Paths, config.Options, config.Version = in.paths, in.options, builtOf().Version
			config.Stdin, config.Out, config.Err = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
			return up.Run(c.Context(), config)
		},
	}
	in.register(c)
	outputFlag(c, &config.Output, formatText, formatJSON)
	c.Flags().StringVar(&config.DataPlane, "data-plane", up.DataPlaneGo, "go or envoy")
	c.Flags().StringSliceVar(&config.DNSServers, "dns-server", nil, "ADDRESS or ADDRESS:PORT of a DNS server for ExternalNames outside the cluster; may be repeated (default: those of /etc/resolv.conf)")
	c.Flags().StringVar(&config.EnvoyPath, "envoy-path", "", "Envoy's binary (default: $ENVOY, the one that make envoy installed, or envoy in PATH)")
	config.Inspect.Register(c.Flags())
	return c
}
