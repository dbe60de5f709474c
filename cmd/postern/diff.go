package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/inspect/client"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diff"
	"github.com/postern-gateway/postern/translator/model"
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
"postern translate -o bootstrap", the URL of a live server's inspection address, the word cluster for
the objects of the kubeconfig's cluster, or the word live for the control plane that runs in it.
Exit code 0: no difference; 1: there are some; 2: they could not be compared.`,
		Example: `  postern diff old/ new/
  git show HEAD:ingress.yaml | postern diff - ingress.yaml
  postern diff http://127.0.0.1:8079 manifests/ --ignore-endpoints
  postern diff envoy.yaml manifests/ -o json
  postern diff cluster manifests/ --ignore-endpoints
  postern diff live cluster`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return fmt.Errorf("name two sides, each a file, a folder, - or a URL; not %d", len(args))
			case args[0] == "-" && args[1] == "-":
				return errors.New("standard input can be one side only")
			}
			return d.checkCluster(args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			a, b, err := d.sides(c, args)
			if err != nil {
				return err
			}
			return d.print(c.OutOrStdout(), output, a, b)
		},
		ValidArgsFunction: filesNamed("yaml", "yml", "json"),
	}
	d.options.Register(c.Flags())
	d.cluster.register(c.Flags())
	d.server.RegisterTrust(c.Flags())
	c.Flags().BoolVar(&d.endpoints, "endpoints", false, "tell which addresses of endpoints are others, too")
	c.Flags().BoolVar(&d.ignoreEndpoints, "ignore-endpoints", false, "take every Service as having endpoints, as for manifests without EndpointSlices")
	outputFlag(c, &output, formatText, formatJSON)
	return c
}

// differ is what the flags say.
type differ struct {
	options                    options.Options
	cluster                    clusterFlags
	server                     client.Flags
	endpoints, ignoreEndpoints bool
}

// wordCluster is the side of the cluster's objects.
const wordCluster = "cluster"

// checkCluster refuses flags of a cluster that neither side is of.
func (d *differ) checkCluster(args []string) error {
	if given := d.cluster.given(); len(given) > 0 && !slices.Contains(args, wordCluster) && !slices.Contains(args, wordLive) {
		return fmt.Errorf("%s is for the sides %s and %s, and neither is given", given[0], wordCluster, wordLive)
	}
	return nil
}

// compared is one side.
type compared struct {
	diff.Side
	// flags are those by which a model was made elsewhere, nil where objects are translated here.
	flags options.Flags
	// What of it was made up here because its manifests do not say it:
	// certificate says that the default certificate was made up, trust that the CAs of backends are this machine's.
	certificate, trust bool
}

// sides reads both. What was made up for one is as it is on the other, so that it makes no difference.
func (d *differ) sides(c *cobra.Command, args []string) (a, b diff.Side, err error) {
	var both [2]compared
	for i, arg := range args {
		if both[i], err = d.made(c, arg); err != nil {
			return a, b, err
		}
	}
	for i, arg := range args {
		if made := both[1-i]; both[i].flags == nil && made.flags != nil {
			if err := d.adopt(c, arg, args[1-i], made.flags); err != nil {
				return a, b, err
			}
		}
	}
	for i, arg := range args {
		if both[i].flags != nil {
			continue
		}
		if both[i], err = d.translated(c, arg); err != nil {
			return a, b, err
		}
	}
	for i := range both {
		own, other := &both[i], both[1-i]
		// Of two that were made up, one is taken.
		if own.certificate && (!other.certificate || i == 1) {
			own.Gateway.Default = other.Gateway.Default
		}
		if own.trust && !other.trust {
			own.Gateway.Edge.UpstreamTrust = other.Gateway.Edge.UpstreamTrust
		}
		if d.ignoreEndpoints {
			own.Side = own.Served()
		}
	}
	return both[0].Side, both[1].Side, nil
}

// made is the side of a model that somebody else has made: a live server's, or a bootstrap's. Others have no flags.
func (d *differ) made(c *cobra.Command, arg string) (compared, error) {
	switch {
	case arg == wordLive:
		asked, done, err := d.cluster.open(c, &d.server)
		if err != nil {
			return compared{}, err
		}
		defer done()
		return served(c.Context(), asked)
	case strings.Contains(arg, "://"):
		asked, err := d.server.At(arg).Client()
		if err != nil {
			return compared{}, err
		}
		return served(c.Context(), asked)
	}
	text, is := bootstrap(arg)
	if !is {
		return compared{}, nil
	}
	g, flags, err := static.ReadModel(text)
	if err != nil {
		return compared{}, fmt.Errorf("%s: %w", arg, err)
	}
	return compared{Side: diff.Side{Gateway: g}, flags: flags}, nil
}

// adopt has objects read under the flags of what they are compared with, where the command line says nothing else.
func (d *differ) adopt(c *cobra.Command, arg, from string, flags options.Flags) error {
	adopted, err := options.Adopt(c.Flags(), flags)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if len(adopted) > 0 {
		tell(c.ErrOrStderr(), []string{fmt.Sprintf("%s is read by the flags of %s: %s", arg, from, strings.Join(adopted, " "))})
	}
	return nil
}

// translated is the side of objects, under the flags.
func (d *differ) translated(c *cobra.Command, arg string) (compared, error) {
	settings, err := d.options.Settings()
	if err != nil {
		return compared{}, err
	}
	selfSigned, err := options.EnsureCertificate(&settings)
	if err != nil {
		return compared{}, err
	}
	objects, err := d.objects(c, arg, settings)
	if err != nil {
		return compared{}, err
	}
	g := objects.result.Gateway
	return compared{
		Side:        diff.Side{Gateway: g, Diagnostics: objects.result.Diagnostics},
		certificate: selfSigned && g.Default == settings.Resolve.DefaultCertificate, trust: d.options.UpstreamCA == "",
	}, nil
}

// objects translates the cluster's, or those of manifests.
func (d *differ) objects(c *cobra.Command, arg string, settings translator.Settings) (translated, error) {
	if arg == wordCluster {
		out, err := d.cluster.read(c, settings)
		tell(c.ErrOrStderr(), out.caveats)
		return out, err
	}
	in := input{paths: []string{arg}, options: d.options}
	return in.readFiles(c.InOrStdin(), settings)
}

// bootstrap is the text of a file that is one; whatever else is wrong with it is told by who reads it as manifests.
func bootstrap(path string) ([]byte, bool) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	text, err := os.ReadFile(path)
	return text, err == nil && static.IsBootstrap(text)
}

// served asks a server for its model, and the flags by which it serves.
func served(ctx context.Context, server *client.Client) (compared, error) {
	var text json.RawMessage
	if err := server.Get(ctx, "/model", nil, &text); err != nil {
		return compared{}, err
	}
	g, err := model.Decode(text)
	if err != nil {
		return compared{}, fmt.Errorf("%s: %w", server, err)
	}
	var settings struct{ Flags options.Flags }
	if err := server.Get(ctx, "/settings", nil, &settings); err != nil {
		return compared{}, err
	}
	return compared{Side: diff.Side{Gateway: g}, flags: settings.Flags}, nil
}

// printedDiff is what programs read.
type printedDiff struct {
	diff.Report
	Endpoints []diff.EndpointChange `json:"endpoints,omitempty"`
	Summary   string                `json:"summary"`
}

func (d *differ) print(w io.Writer, output string, a, b diff.Side) error {
	out := printedDiff{Report: diff.Compare(a, b)}
	out.Summary = out.Report.Summary()
	if d.endpoints {
		out.Endpoints = diff.Endpoints(a, b)
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
