// Command postern is the Postern ingress gateway: its control plane, its data plane, and the tools to ask them.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// errFindings ends a command with exit code 1 after it has printed what it found.
var errFindings = errors.New("findings")

func main() {
	if err := command().Execute(); err != nil {
		if !errors.Is(err, errFindings) {
			fmt.Fprintln(os.Stderr, "postern: "+err.Error())
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "postern",
		Short: "An ingress gateway: Ingress YAML in, Envoy or a Go data plane out",
		Long: `Postern serves Kubernetes Ingresses, those written for Traefik 1.7 included,
through Envoy or through a data plane of its own in Go.`,
		Example: `  postern up -f manifests/                      serve a folder of manifests
  postern explain -f manifests/ https://h/path  ask where a URL goes, and why
  postern lint -f manifests/                    what Postern makes of the manifests`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee %s --help", err, c.CommandPath())
	})
	root.AddCommand(upCommand(), explainCommand(), translateCommand(), lintCommand())
	return root
}
