package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/translator/diag"
)

func lintCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "lint -f PATH",
		Short: "Say what Postern makes of manifests: what is refused, different or misspelt",
		Long: `Translates the manifests and prints every diagnostic with file, line, effect and fix.
Exit code 0: no errors (there may be warnings); 1: errors, or the manifests could not be read.`,
		Example: `  postern lint -f manifests/
  kubectl get ingress,service -A -o yaml | postern lint -f - -o json`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			in, err := in.translate(c.InOrStdin())
			if err != nil {
				return err
			}
			if len(in.world.Ingresses) == 0 {
				fmt.Fprintln(c.ErrOrStderr(), "there is no Ingress among the manifests")
			}
			return lint(c.OutOrStdout(), in.result.Diagnostics, output)
		},
	}
	in.register(c)
	outputFlag(c, &output, "text", "json")
	return c
}

func lint(w io.Writer, ds []diag.D, output string) error {
	worst, _ := diag.Worst(ds)
	var err error
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if ds == nil {
			ds = []diag.D{}
		}
		err = encoder.Encode(ds)
	} else {
		err = lintText(w, ds)
	}
	if err == nil && worst == diag.Error {
		return errFindings
	}
	return err
}

func lintText(w io.Writer, ds []diag.D) error {
	counts := map[diag.Severity]int{}
	for _, d := range ds {
		counts[d.Severity]++
		if _, err := fmt.Fprintln(w, d); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d errors, %d warnings, %d remarks\n", counts[diag.Error], counts[diag.Warning], counts[diag.Info])
	return err
}
