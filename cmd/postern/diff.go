package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/controlplane/inspect/client"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator/diff"
	"github.com/postern-gateway/postern/translator/report"
)

// diffName is the command whose exit codes are those of kubectl diff.
const diffName = "diff"

func diffCommand() *cobra.Command {
	var d differ
	var output string
	c := &cobra.Command{
		Use:   diffName + " A B",
		Short: "Say which requests are treated otherwise by B than by A",
		Long: `Compares what two gateways do, by class of request: which hosts and paths are added or removed, go
elsewhere, or get other policies or certificates; each with a request that shows it.

A and B are each a file or folder of manifests, - for those of standard input, a file of
"postern translate -o bootstrap", the URL or HOST:PORT of a live server's inspection address, the word cluster for
the objects of the kubeconfig's cluster, or the word live for the control plane that runs in it.
Exit code 0: no difference; 1: there are some; 2: they could not be compared.`,
		Example: `  postern diff old/ new/
  git show HEAD:ingress.yaml | postern diff --ignore-endpoints - ingress.yaml
  postern diff http://127.0.0.1:8079 manifests/ --ignore-endpoints
  postern diff envoy.yaml manifests/ -o json
  postern diff --apply cluster new-ingress.yaml
  postern diff live cluster`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return fmt.Errorf("name two sides, each a file, a folder, - or a URL; not %d", len(args))
			case args[0] == "" || args[1] == "":
				return errors.New("a side is empty, as that of a variable that is not set: name a file, a folder, - or a URL")
			case args[0] == "-" && args[1] == "-":
				return errors.New("standard input can be one side only")
			}
			if err := d.checkApply(args); err != nil {
				return err
			}
			return d.checkCluster(args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			a, b, err := d.sides(c, args)
			if err != nil {
				return err
			}
			return d.print(c, output, args, a, b)
		},
		ValidArgsFunction: filesNamed("yaml", "yml", "json"),
	}
	d.options.Register(c.Flags())
	d.cluster.register(c.Flags())
	d.cluster.otherwise = "the path of manifests may stand in its place"
	c.Flags().Lookup("namespace").Usage = "tell of this `NAMESPACE` only; beside live it is where the control plane runs, with --apply where objects go that name none"
	d.server.RegisterTrust(c.Flags())
	c.Flags().BoolVar(&d.endpoints, "endpoints", false, "tell which addresses of endpoints are others, too")
	c.Flags().BoolVar(&d.ignoreEndpoints, "ignore-endpoints", false, "take every Service as there and as having endpoints, as for manifests without Services and EndpointSlices")
	c.Flags().BoolVar(&d.apply, "apply", false, "B is A once the objects of B's manifests were applied to it: what they do not name stays")
	outputFlag(c, &output, formatText, formatJSON)
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) && slices.Contains([]string{"f", "filename", "server", "live"}, unknown.GetSpecifiedName()) {
			return fmt.Errorf("%w; the sides are written without flags, as in %s manifests/ http://127.0.0.1:8079\nsee %s --help", err, c.CommandPath(), c.CommandPath())
		}
		return c.Parent().FlagErrorFunc()(c, err)
	})
	return c
}

// differ is what the flags say.
type differ struct {
	options                    options.Options
	cluster                    clusterFlags
	server                     client.Flags
	endpoints, ignoreEndpoints bool
	apply                      bool
}

// wordCluster is the side of the cluster's objects.
const wordCluster = "cluster"

// checkApply refuses sides that have no objects, or none that can be applied.
func (d *differ) checkApply(args []string) error {
	if !d.apply {
		return nil
	}
	if to := args[0]; isMade(to) {
		return fmt.Errorf("--apply: %s has no objects that others could be applied to, only what became of them: name %s, a file or a folder", to, wordCluster)
	}
	if of := args[1]; of == wordCluster || isMade(of) {
		return fmt.Errorf("--apply: %s is no manifests to apply: name a file, a folder or -", of)
	}
	return nil
}

// isMade says whether a side is a model, and no objects.
func isMade(arg string) bool {
	_, is := bootstrap(arg)
	return is || arg == wordLive || isServer(arg)
}

// checkCluster refuses flags of a cluster that neither side is of.
func (d *differ) checkCluster(args []string) error {
	if given := d.cluster.given(); len(given) > 0 && !slices.Contains(args, wordCluster) && !slices.Contains(args, wordLive) {
		return fmt.Errorf("%s is for the sides %s and %s, and neither is given", given[0], wordCluster, wordLive)
	}
	return nil
}

// printedDiff is what programs read.
type printedDiff struct {
	diff.Report
	Endpoints []diff.EndpointChange `json:"endpoints,omitempty"`
	Summary   string                `json:"summary"`
}

// toldOf is the namespace that -n limits a comparison to, empty where all are told of. Beside live it is where the control
// plane runs, and with --apply where objects go that name none, as for kubectl apply.
func (d *differ) toldOf(args []string) string {
	if d.apply || slices.Contains(args, wordLive) {
		return ""
	}
	return *d.cluster.kubectl.Namespace
}

func (d *differ) print(c *cobra.Command, output string, args []string, a, b diff.Side) error {
	w := c.OutOrStdout()
	namespace := d.toldOf(args)
	out := printedDiff{Report: diff.CompareIn(namespace, a, b)}
	out.Summary = out.Report.Summary()
	if d.endpoints {
		out.Endpoints = slices.DeleteFunc(diff.Endpoints(a, b), func(e diff.EndpointChange) bool {
			return namespace != "" && !strings.HasPrefix(e.Backend, namespace+"/")
		})
	}
	if n := out.Elsewhere; n > 0 {
		tell(c.ErrOrStderr(), []string{fmt.Sprintf("%s of other namespaces than %s: leave out -n to be told.", report.Count(n, "path differs", "paths differ"), namespace)})
	}
	var err error
	if output == formatJSON {
		out.Classes = append([]diff.Class{}, out.Classes...)
		err = printJSON(w, out)
	} else {
		for _, e := range out.Endpoints {
			if _, err := fmt.Fprintln(w, e); err != nil {
				return err
			}
		}
		_, err = fmt.Fprint(w, out.Text())
	}
	if err == nil && (out.Different() || len(out.Endpoints) > 0) {
		return errFindings
	}
	return err
}
