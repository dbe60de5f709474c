package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/report"
	"github.com/postern-gateway/postern/translator/source"
)

func lintCommand() *cobra.Command {
	var in input
	var output, title string
	var asReport bool
	c := &cobra.Command{
		Use:   "lint -f PATH",
		Short: "Say what Postern makes of Ingresses: what is refused, different or misspelt",
		Long: `Translates manifests, or the objects of a cluster (-A, or -n NAMESPACE), and prints every diagnostic
with its place, effect and fix; with --report, what becomes of every Ingress and of every annotation
of those that are served and of their Services, which -o html has as one page for a browser.
A cluster is only read: docs/operate/kubectl-plugin.md says which rights that takes.
Exit code 0: no errors (there may be warnings); 1: errors, or the objects could not be read.`,
		Example: `  postern lint -f manifests/
  postern lint --report -f manifests/
  postern lint --report -A -o html > report.html
  postern lint --context staging -n shop`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			if !asReport && (output == formatHTML || title != "") {
				return errors.New("-o html and --title are of a report: add --report")
			}
			in, err := in.translate(c)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(in.world.Ingresses, func(i source.Ingress) bool { return in.namespace == "" || i.Namespace == in.namespace }) {
				fmt.Fprintln(c.ErrOrStderr(), in.noIngress())
			}
			ds := report.Within(in.result.Diagnostics, in.namespace)
			if err := in.lint(c.OutOrStdout(), ds, lintForm{report: asReport, output: output, title: title}); err != nil {
				return err
			}
			if worst, _ := diag.Worst(ds); worst == diag.Error {
				return errFindings
			}
			return nil
		},
	}
	in.register(c)
	in.registerCluster(c)
	outputFlag(c, &output, formatText, formatJSON, formatHTML)
	c.Flags().BoolVar(&asReport, "report", false, "print what becomes of every Ingress and annotation, in place of the diagnostics")
	c.Flags().StringVar(&title, "title", "", "heading of the page of -o html, e.g. with cluster and date")
	return c
}

// noIngress says that there is nothing to tell of, where that was looked for, and where else there is.
func (in translated) noIngress() string {
	if in.namespace == "" {
		return "there is no Ingress in " + in.place
	}
	said := "there is no Ingress in namespace " + in.namespace + " of " + in.place
	isIt := func(n source.Namespace) bool { return n.Name == in.namespace }
	if in.knowsNamespaces && !slices.ContainsFunc(in.world.Namespaces, isIt) {
		said = "there is no namespace " + in.namespace + " in " + in.place
	}
	switch n := len(in.world.Ingresses); {
	case in.isPart:
		return said + "; those of other namespaces you may not list: name another that you may read by -n NAMESPACE"
	case n == 0:
		return said + ", and no Ingress in any other"
	case n == 1:
		return said + "; one Ingress is elsewhere: -A tells of all namespaces, -n NAMESPACE of another"
	default:
		return fmt.Sprintf("%s; %d Ingresses are elsewhere: -A tells of all namespaces, -n NAMESPACE of another", said, n)
	}
}

// lintForm is what is printed, and how.
type lintForm struct {
	report        bool
	output, title string
}

func (in translated) lint(w io.Writer, ds []diag.D, form lintForm) error {
	made := func() report.Report {
		return report.Make(report.Input{World: in.world, Result: in.result, Namespace: in.namespace, Caveats: in.caveats})
	}
	switch {
	case form.output == formatHTML:
		return made().HTML(w, report.Page{Title: form.title, Place: in.place})
	case form.report && form.output == formatJSON:
		return printJSON(w, made())
	case form.report:
		return made().Text(w)
	case form.output == formatJSON:
		return printJSON(w, ds)
	}
	return lintText(w, ds)
}

func lintText(w io.Writer, ds []diag.D) error {
	for _, d := range ds {
		if _, err := fmt.Fprintln(w, d); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, report.Severities(diag.Count(ds)))
	return err
}
