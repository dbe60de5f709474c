package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/postern-gateway/postern/controlplane/kube"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// clusterFlags are kubectl's flags that say which cluster is read, as whom, and which part of it.
type clusterFlags struct {
	kubectl *genericclioptions.ConfigFlags
	all     bool
	// given are the names of those that are on the command line; has says whether a flag is one of kubectl's.
	given func() []string
	has   func(name string) bool
	// otherwise says how manifests are read in place of a cluster, where that is not by -f.
	otherwise string
}

// register defines those of kubectl's flags that reading needs, with kubectl's words. Credentials come from the kubeconfig
// only, and never from the command line, where others see them.
func (f *clusterFlags) register(fs *pflag.FlagSet) {
	k := genericclioptions.NewConfigFlags(false)
	k.CacheDir, k.APIServer, k.TLSServerName, k.Insecure, k.CertFile, k.KeyFile, k.CAFile = nil, nil, nil, nil, nil, nil, nil
	k.BearerToken, k.DisableCompression, k.ImpersonateUserExtra, k.ProxyURL = nil, nil, nil, nil
	f.kubectl = k
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	k.AddFlags(own)
	own.BoolVarP(&f.all, "all-namespaces", "A", false, "the cluster's objects of all namespaces")
	own.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "namespace" {
			flag.Usage = "tell of this `NAMESPACE` of the cluster (default: the context's)"
		}
	})
	fs.AddFlagSet(own)
	f.has = func(name string) bool { return own.Lookup(name) != nil }
	f.given = func() []string {
		var names []string
		own.VisitAll(func(flag *pflag.Flag) {
			if flag.Changed {
				names = append(names, "--"+flag.Name)
			}
		})
		return names
	}
}

// exists says what is wrong where no cluster is named: without one, kubectl's flags mean a server at localhost:8080.
func (f *clusterFlags) exists() error {
	raw, err := f.kubectl.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return f.unreadable(err)
	}
	if _, outside := rest.InClusterConfig(); outside != nil && len(raw.Clusters) == 0 {
		return errors.New("there is no cluster: none of --kubeconfig, $KUBECONFIG and ~/.kube/config names one; " + cmp.Or(f.otherwise, "-f PATH reads manifests"))
	}
	return nil
}

// unreadable is an error of the kubeconfig, where kubectl has better words in those.
func (f *clusterFlags) unreadable(err error) error {
	if clientcmd.IsContextNotFound(err) && *f.kubectl.Context != "" {
		return fmt.Errorf("context %q does not exist", *f.kubectl.Context)
	}
	return fmt.Errorf("read the kubeconfig: %w", err)
}

// namespace is the one that is asked about; empty is all.
func (f *clusterFlags) namespace() (string, error) {
	if f.all && *f.kubectl.Namespace != "" {
		return "", fmt.Errorf("-A and -n %s are two answers to one question: give one", *f.kubectl.Namespace)
	}
	if f.all {
		return "", nil
	}
	return f.applies()
}

// applies is the namespace into which objects go that name none, as for kubectl apply.
func (f *clusterFlags) applies() (string, error) {
	namespace, _, err := f.kubectl.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", f.unreadable(err)
	}
	return namespace, nil
}

// read reads the cluster once and translates it as its control plane would, were it started by the same flags.
func (f *clusterFlags) read(c *cobra.Command, s translator.Settings) (translated, error) {
	r, err := f.list(c, s)
	if err != nil {
		return translated{}, err
	}
	return r.translate(c.Context(), s, source.World{})
}

// clusterReading is what was read of a cluster: what is listed at once, what is referred to as it is found.
type clusterReading struct {
	flags  *clusterFlags
	reader kube.Reader
	kube.Reading
	at time.Time
}

// list reads what routing needs as a whole.
func (f *clusterFlags) list(c *cobra.Command, s translator.Settings) (*clusterReading, error) {
	if err := f.exists(); err != nil {
		return nil, err
	}
	namespace, err := f.namespace()
	if err != nil {
		return nil, err
	}
	config, err := f.kubectl.ToRESTConfig()
	if err != nil {
		return nil, f.unreadable(err)
	}
	client, err := kubernetes.NewForConfig(kube.Configured(config, "postern/"+builtOf().Version))
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	r := &clusterReading{
		flags: f, at: time.Now(),
		reader: kube.Reader{Client: client, Namespace: namespace, Nodes: len(s.Resolve.ExternalNames.Suffixes) > 0},
	}
	if r.Reading, err = r.reader.Read(c.Context()); err != nil {
		return nil, f.readError(err)
	}
	return r, nil
}

// translate translates the cluster, with objects applied to it. It keeps what it reads meanwhile.
func (r *clusterReading) translate(ctx context.Context, s translator.Settings, applied source.World) (translated, error) {
	for {
		// Behind a Secret or a ConfigMap others may be referred to.
		world := r.World.Apply(applied, r.at)
		result := translator.Translate(world, s)
		after, more, err := r.reader.Look(ctx, r.Reading, result.Gateway.References)
		if err != nil {
			return translated{}, r.flags.readError(err)
		}
		if !more {
			if r.EndpointsDenied() {
				result.Diagnostics = slices.DeleteFunc(result.Diagnostics, func(d diag.D) bool { return d.Code == diag.CodeNoEndpoints })
			}
			return translated{
				world: world, result: result, namespace: r.reader.Namespace, caveats: caveats(r.Reading), place: r.flags.place(),
				isPart:          r.Namespace != "",
				knowsNamespaces: !slices.ContainsFunc(r.Denied, func(d kube.Denial) bool { return d.Kind == "Namespace" }),
			}, nil
		}
		r.Reading = after
	}
}

// place is what a report says that it was read from.
func (f *clusterFlags) place() string {
	raw, err := f.kubectl.ToRawKubeConfigLoader().RawConfig()
	name := raw.CurrentContext
	if *f.kubectl.Context != "" {
		name = *f.kubectl.Context
	}
	if err != nil || name == "" {
		return "the cluster"
	}
	return "the cluster of context " + name
}

// readError says what to do where a cluster forbids what is needed.
func (f *clusterFlags) readError(err error) error {
	switch {
	case apierrors.IsForbidden(err) && f.all:
		return fmt.Errorf("%w\nname a namespace that you may read by -n NAMESPACE, in place of -A", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w\nIngresses and Services of the namespace must be readable: ask for the ClusterRole view in it, or name another by -n", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w\nyou must be logged in to the server", err)
	}
	return err
}

// caveats are what could not be judged, as sentences.
func caveats(r kube.Reading) []string {
	var out []string
	if r.Namespace != "" {
		out = append(out, "Only namespace "+r.Namespace+" was read, for you may not list Ingresses and Services of all: whether Ingresses of other namespaces have the same hosts and paths is not known.")
	}
	unknown := map[string]string{
		"EndpointSlice": "whether Services have endpoints", "IngressClass": "which class is the default, and whose each is",
		"Namespace": "what Postern's annotations on them say", "Node": "which addresses no ExternalName may lead to",
	}
	for _, d := range r.Denied {
		out = append(out, fmt.Sprintf("You may not list objects of kind %s, so %s is not known: %s.", d.Kind, unknown[d.Kind], strings.TrimSuffix(d.Why, ".")))
	}
	var names []string
	for _, u := range r.World.Unread {
		names = append(names, u.Kind+" "+u.Namespace+"/"+u.Name)
	}
	if len(names) > namesMax {
		names = append(names[:namesMax], fmt.Sprintf("%d others", len(names)-namesMax))
	}
	if len(names) > 0 {
		out = append(out, "You may not read "+strings.Join(names, ", ")+": what refers to them is not judged (P1005).")
	}
	return out
}

// namesMax bounds how many objects a sentence names.
const namesMax = 20

// tell writes each sentence as a line.
func tell(w io.Writer, sentences []string) {
	for _, s := range sentences {
		fmt.Fprintln(w, s)
	}
}
