// Command postern is the Postern ingress gateway: its control plane, its data plane, and the tools to ask them.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/translator/diag"
)

// errFindings ends a command with exit code 1 after it has printed what it found.
var errFindings = errors.New("findings")

func main() {
	root := called(os.Args[0], command())
	ran, err := root.ExecuteC()
	if err != nil && !errors.Is(err, errFindings) {
		fmt.Fprintln(os.Stderr, root.CommandPath()+": "+err.Error())
	}
	os.Exit(exitCode(ran, err))
}

// exitCode is 1 for whatever went wrong; of diff, that there are differences is told from that it could not compare.
func exitCode(ran *cobra.Command, err error) int {
	switch {
	case err == nil:
		return 0
	case ran.Name() == diffName && !errors.Is(err, errFindings):
		return 2
	default:
		return 1
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "postern",
		Short: "An ingress gateway: Ingress YAML in, Envoy or a Go data plane out",
		Long: `Postern serves Kubernetes Ingresses, those written for Traefik 1.7 included,
through Envoy or through a data plane of its own in Go.

Exit code 0: done; 1: it could not be done, and standard error says why in a sentence. postern lint
also ends with 1 where it finds errors, postern diff where it finds differences, else with 2.`,
		Example: `  postern up -f manifests/                      serve a folder of manifests
  postern explain -f manifests/ https://h/path  ask where a URL goes, and why
  postern lint -f manifests/                    what Postern makes of the manifests
  postern diff old/ new/                        which requests are treated otherwise
  postern lint --report -f manifests/           what becomes of each annotation
  postern lint --report -A                      the same of a cluster: docs/operate/kubectl-plugin.md
  postern controlplane                          the part in a cluster that reads it: docs/operate/install.md
  postern dataplane                             the part that answers requests`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w%s\nsee %s --help", err, meantFlag(c, err), c.CommandPath())
	})
	root.AddCommand(upCommand(), controlplaneCommand(), dataplaneCommand(), certsCommand(), explainCommand(), diffCommand(), snapshotCommand(), translateCommand(), lintCommand(), versionCommand(), completionCommand())
	for _, c := range root.Commands() {
		complete(c)
	}
	return root
}

// meantFlag names the flag that a misspelt one most likely meant.
func meantFlag(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near, ok := diag.Nearest(unknown.GetSpecifiedName(), names); ok {
		return "; did you mean --" + near + "?"
	}
	return ""
}
