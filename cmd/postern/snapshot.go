package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/translator/diag"
)

// wordProxies is what is asked about beside the types of resources.
const wordProxies = "proxies"

func snapshotCommand() *cobra.Command {
	var in input
	var live liveFlags
	var output string
	c := &cobra.Command{
		Use:   "snapshot (--server URL | --live | -f PATH) [TYPE [NAME]]",
		Short: "Show what is served, and what each proxy has accepted of it",
		Long: `Asks a live server (postern up or postern controlplane with --inspect) for the xDS resources that it
serves: without TYPE how many there are, with TYPE each with its version, size, age and origin, with
NAME also what is in it. Types are listeners, routes, clusters, endpoints and secrets, or lds, rds,
cds, eds and sds. Of secrets the public facts are shown, never a key or a user.

snapshot proxies [NODE] tells what each proxy subscribes to, has accepted, has refused and in which
words, and how far it is behind.

--live asks the control plane that runs in the cluster. It is meant where kubectl's flags are given, and
by kubectl postern; --live=false shows what the cluster's objects would be served as, and -f PATH what
manifests would.`,
		Example: `  postern snapshot --server 127.0.0.1:8079
  postern snapshot --server 127.0.0.1:8079 clusters
  postern snapshot --server https://node/postern --server-auth FILE routes http -o yaml
  postern snapshot --server 127.0.0.1:8079 proxies
  postern snapshot --live -n postern-system proxies
  postern snapshot -f manifests/ cds`,
		Args:              checkSnapshotArgs,
		ValidArgsFunction: completeSnapshot,
		RunE: func(c *cobra.Command, args []string) error {
			asked := snapshotAsk{kind: at(args, 0), name: at(args, 1)}
			meantLive(c, &in, &live)
			if err := in.checkSource(c, &live); err != nil {
				return err
			}
			var answer any
			var err error
			if live.given() {
				answer, err = asked.server(c, &in.cluster, &live)
			} else {
				answer, err = asked.objects(&in, c)
			}
			if err != nil {
				return err
			}
			tell(c.ErrOrStderr(), missingReplicas(answer))
			return printSnapshot(c.OutOrStdout(), answer, snapshotForm{output: output, live: live.given()})
		},
	}
	in.register(c)
	in.registerCluster(c)
	live.register(c)
	outputFlag(c, &output, formatText, formatJSON, formatYAML)
	return c
}

// missingReplicas are sentences on replicas of a control plane that did not tell of their proxies.
func missingReplicas(answer any) []string {
	proxies, ok := answer.(*inspect.Proxies)
	if !ok {
		return nil
	}
	var out []string
	for _, r := range proxies.Replicas {
		if r.Error != "" {
			out = append(out, fmt.Sprintf("The proxies of the replica %s are not known: %s.", r.Name, strings.TrimSuffix(r.Error, ".")))
		}
	}
	return out
}

// meantLive has the control plane asked where a cluster is named and nothing is said of its objects: a snapshot is of what is
// served.
func meantLive(c *cobra.Command, in *input, live *liveFlags) {
	if c.Flags().Changed(wordLive) || live.server.Given() || len(in.paths) > 0 {
		return
	}
	live.inCluster = isPlugin(c) || len(in.cluster.given()) > 0
}

func at(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// checkSnapshotArgs finds a misspelt type before anything is read or asked.
func checkSnapshotArgs(_ *cobra.Command, args []string) error {
	if len(args) > 2 {
		return fmt.Errorf("name a TYPE and a NAME at most, not %d words", len(args))
	}
	if len(args) == 0 || args[0] == wordProxies {
		return nil
	}
	_, err := inspect.ParseKind(args[0])
	if err == nil {
		return nil
	}
	const one = "proxy"
	lower := strings.ToLower(args[0])
	if _, ok := diag.Nearest(lower, []string{wordProxies, one}); ok || lower == one {
		return fmt.Errorf("%q is nothing that a snapshot has; did you mean %s?", args[0], wordProxies)
	}
	return fmt.Errorf("%w; or %s, which are no resources", err, wordProxies)
}

func completeSnapshot(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var offered []cobra.Completion
	if len(args) == 0 {
		for _, k := range inspect.Kinds() {
			offered = append(offered, k.Name)
		}
		offered = append(offered, wordProxies)
	}
	return offered, cobra.ShellCompDirectiveNoFileComp
}

// snapshotAsk is what is asked about: all types, one, or one resource; or the proxies, or one.
type snapshotAsk struct{ kind, name string }

// server asks a running Postern. The answer is one of inspect's.
func (a snapshotAsk) server(c *cobra.Command, cluster *clusterFlags, live *liveFlags) (any, error) {
	server, done, err := live.open(c, cluster)
	if err != nil {
		return nil, err
	}
	defer done()
	path, answer := "resources", any(&inspect.Resources{})
	switch {
	case a.kind == wordProxies && a.name != "":
		path, answer = "proxies/"+inspect.Escaped(a.name), &inspect.ProxyStreams{}
	case a.kind == wordProxies:
		path, answer = "proxies", &inspect.Proxies{}
	case a.kind != "":
		kind, err := inspect.ParseKind(a.kind)
		if err != nil {
			return nil, err
		}
		path, answer = "resources/"+kind.Name, &inspect.ResourceList{}
		if a.name != "" {
			path, answer = path+"/"+inspect.Escaped(a.name), &inspect.Resource{}
		}
	}
	return answer, server.Get(c.Context(), path, nil, answer)
}

// objects answers by what manifests, or a cluster's objects, would be served as.
func (a snapshotAsk) objects(in *input, c *cobra.Command) (any, error) {
	if a.kind == wordProxies {
		return nil, errors.New("only the control plane knows its proxies: name a live server by --server URL, or the one in the cluster by --live")
	}
	translated, err := in.translate(c)
	if err != nil {
		return nil, err
	}
	view, err := inspect.Still(translated.world, translated.result, time.Now())
	if err != nil {
		return nil, err
	}
	if a.kind == "" {
		totals := view.Resources()
		return &totals, nil
	}
	kind, err := inspect.ParseKind(a.kind)
	if err != nil {
		return nil, err
	}
	if a.name == "" {
		list := view.ResourceList(kind)
		return &list, nil
	}
	one, err := view.Resource(kind, a.name)
	return &one, err
}

// snapshotForm is how an answer is printed.
type snapshotForm struct {
	output string
	// live says that there are proxies and ages.
	live bool
}

func printSnapshot(w io.Writer, answer any, form snapshotForm) error {
	switch form.output {
	case formatJSON:
		return printJSON(w, answer)
	case formatYAML:
		text, err := json.Marshal(answer)
		if err == nil {
			text, err = yaml.JSONToYAML(text)
		}
		if err != nil {
			return fmt.Errorf("print the answer as YAML: %w", err)
		}
		_, err = w.Write(text)
		return err
	}
	t := newTable(w)
	switch answer := answer.(type) {
	case *inspect.Resources:
		t.totals(*answer, form.live)
	case *inspect.ResourceList:
		t.list(*answer, form.live)
	case *inspect.Resource:
		if err := t.resource(*answer, form.live); err != nil {
			return err
		}
	case *inspect.Proxies:
		t.proxies(*answer)
	case *inspect.ProxyStreams:
		t.streams(*answer)
	}
	return t.end()
}

// versionShown is how much of a version is enough to tell it from others, in a table.
const versionShown = 12

func shortVersion(version string) string { return version[:min(len(version), versionShown)] }

// age is a time in the unit that fits it.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	default:
		return fmt.Sprintf("%.0fd", d.Hours()/24)
	}
}

// firstOrigin is the primary origin of a resource, and how many there are beside it.
func firstOrigin(origins []diag.Origin) string {
	texts := originTexts(origins)
	switch len(texts) {
	case 0:
		return "-"
	case 1:
		return texts[0]
	default:
		return fmt.Sprintf("%s and %d more", texts[0], len(slices.Compact(texts))-1)
	}
}
