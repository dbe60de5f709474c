package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/translator/diag"
)

func lintCommand() *cobra.Command {
	var in input
	var output string
	var asReport bool
	c := &cobra.Command{
		Use:   "lint -f PATH",
		Short: "Say what Postern makes of manifests: what is refused, different or misspelt",
		Long: `Translates the manifests and prints every diagnostic with file, line, effect and fix; with --report,
what becomes of every annotation of the Ingresses that are served and of their Services.
Exit code 0: no errors (there may be warnings); 1: errors, or the manifests could not be read.`,
		Example: `  postern lint -f manifests/
  postern lint --report -f manifests/
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
			switch {
			case asReport && output == formatJSON:
				err = printJSON(c.OutOrStdout(), newReport(in))
			case asReport:
				err = newReport(in).text(c.OutOrStdout())
			case output == formatJSON:
				err = printJSON(c.OutOrStdout(), append([]diag.D{}, in.result.Diagnostics...))
			default:
				err = lintText(c.OutOrStdout(), in.result.Diagnostics)
			}
			if worst, _ := diag.Worst(in.result.Diagnostics); err == nil && worst == diag.Error {
				return errFindings
			}
			return err
		},
	}
	in.register(c)
	outputFlag(c, &output, formatText, formatJSON)
	c.Flags().BoolVar(&asReport, "report", false, "print what becomes of every annotation, in place of the diagnostics")
	return c
}

func lintText(w io.Writer, ds []diag.D) error {
	for _, d := range ds {
		if _, err := fmt.Fprintln(w, d); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, diagnosticCounts(countDiagnostics(ds)))
	return err
}

// countDiagnostics counts the diagnostics of each severity.
func countDiagnostics(ds []diag.D) map[diag.Severity]int {
	counts := map[diag.Severity]int{diag.Error: 0, diag.Warning: 0, diag.Info: 0}
	for _, d := range ds {
		counts[d.Severity]++
	}
	return counts
}

func diagnosticCounts(counts map[diag.Severity]int) string {
	return strings.Join([]string{
		count(counts[diag.Error], "error", "errors"), count(counts[diag.Warning], "warning", "warnings"), count(counts[diag.Info], "remark", "remarks"),
	}, ", ")
}
