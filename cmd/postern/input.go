package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// input is what every command that translates takes: objects, of manifests or of a cluster, and the flags that decide how
// they are served.
type input struct {
	paths   []string
	cluster clusterFlags
	options options.Options
}

func (in *input) register(c *cobra.Command) {
	c.Flags().StringSliceVarP(&in.paths, "filename", "f", nil, "file or folder of manifests at `PATH`, - for standard input; may be repeated")
	in.options.Register(c.Flags())
}

// registerCluster defines the flags by which a command reads a cluster in place of manifests.
func (in *input) registerCluster(c *cobra.Command) { in.cluster.register(c.Flags()) }

func (in *input) check() error {
	if len(in.paths) == 0 {
		return errors.New("-f PATH is missing: name a file or folder of manifests, or - for standard input")
	}
	return nil
}

// readsCluster says whether the objects are those of a cluster. As a plugin of kubectl a command reads one unless it is told
// of manifests.
func (in *input) readsCluster(c *cobra.Command) (bool, error) {
	if in.cluster.given == nil {
		return false, in.check()
	}
	given := in.cluster.given()
	switch {
	case len(in.paths) > 0 && len(given) > 0:
		return false, fmt.Errorf("-f %s and %s name two sources, manifests and a cluster: give one", in.paths[0], given[0])
	case len(in.paths) > 0:
		return false, nil
	case len(given) > 0 || isPlugin(c):
		return true, nil
	}
	return false, errNoSource
}

// checkSource says what is wrong where a command that may also ask a running Postern is not told of exactly one source.
func (in *input) checkSource(c *cobra.Command, live *liveFlags) error {
	if err := live.check(); err != nil {
		return err
	}
	if live.given() {
		return in.checkLive(c, live)
	}
	_, err := in.readsCluster(c)
	if errors.Is(err, errNoSource) {
		err = fmt.Errorf("%w; or a live server, by --server URL, or %s for the one in the cluster", err, liveFlag)
	}
	return err
}

// given are the flags of the command line that say what is translated and how.
func (in *input) given(c *cobra.Command) []string {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&input{}).options.Register(own)
	(&clusterFlags{}).register(own)
	var out []string
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "filename" || own.Lookup(f.Name) != nil {
			out = append(out, f.Name)
		}
	})
	return out
}

// errNoSource is what a command answers that may read a cluster, where nobody says what to read.
var errNoSource = errors.New("-f PATH is missing: name a file or folder of manifests, or - for standard input; or a cluster, by -A for all its namespaces, or -n NAMESPACE")

// translated is what the manifests were, and what became of them.
type translated struct {
	world  source.World
	result translator.Result
	// made is by what, for other processes.
	made options.Elsewhere
	// namespace is the one of the cluster that is asked about, empty where all are; place is what was read, and caveats are
	// sentences on what was not.
	namespace, place string
	caveats          []string
	// isPart says that of a cluster only namespace could be read, knowsNamespaces that all Namespaces that may be asked about
	// are in world.
	isPart, knowsNamespaces bool
	// selfSigned says that the default certificate was made up, withoutCAs that no backend's can be verified.
	selfSigned, withoutCAs bool
}

// translate reads and translates the objects once, manifests as postern up would, and tells on standard error what of a
// cluster could not be read.
func (in *input) translate(c *cobra.Command) (translated, error) {
	cluster, err := in.readsCluster(c)
	if err != nil {
		return translated{}, err
	}
	settings, err := in.options.Settings()
	if err != nil {
		return translated{}, err
	}
	selfSigned, err := options.EnsureCertificate(&settings)
	if err != nil {
		return translated{}, err
	}
	var out translated
	if cluster {
		out, err = in.cluster.read(c, settings)
		tell(c.ErrOrStderr(), out.caveats)
	} else {
		out, err = in.readFiles(c.InOrStdin(), settings)
	}
	if err != nil {
		return translated{}, err
	}
	out.made = in.options.Elsewhere(out.world)
	out.withoutCAs = len(settings.Resolve.Edge.UpstreamTrust) == 0 && !settings.Resolve.UpstreamSkipVerify
	// A Secret may have taken the place of what was made up.
	out.selfSigned = selfSigned && out.result.Gateway.Default == settings.Resolve.DefaultCertificate
	return out, nil
}

// readFiles reads and translates the manifests under settings.
func (in *input) readFiles(stdin io.Reader, s translator.Settings) (translated, error) {
	state, err := files.Read(in.paths, files.Options{Stdin: stdin})
	if err != nil {
		return translated{}, err
	}
	world := state.World()
	places := slices.Clone(in.paths)
	if i := slices.Index(places, files.StdinPath); i >= 0 {
		places[i] = "standard input"
	}
	return translated{world: world, result: translator.Translate(world, s), place: strings.Join(places, ", ")}, nil
}

// onlyFlags refuses arguments, most often a path without -f or a value of a flag that takes it by = only.
func onlyFlags(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.Flags().Lookup("filename") != nil:
		return fmt.Errorf("%q belongs to no flag: manifests are given by -f PATH, true and false by --FLAG=VALUE", args[0])
	default:
		return fmt.Errorf("%q belongs to no flag: %s takes flags only, true and false by --FLAG=VALUE", args[0], c.CommandPath())
	}
}

// The values of -o.
const (
	formatText      = "text"
	formatHTML      = "html"
	formatJSON      = "json"
	formatYAML      = "yaml"
	formatBootstrap = "bootstrap"
)

// printJSON writes what programs read.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// outputFlag is -o with its accepted values, the first being the default.
func outputFlag(c *cobra.Command, target *string, values ...string) {
	last := len(values) - 1
	accepted := strings.Join(values[:last], ", ") + " or " + values[last]
	c.Flags().StringVarP(target, "output", "o", values[0], "`FORMAT` of the output: "+accepted)
	if err := c.RegisterFlagCompletionFunc("output", words(values...)); err != nil {
		panic(err)
	}
	c.PreRunE = func(*cobra.Command, []string) error {
		if slices.Contains(values, *target) {
			return nil
		}
		if near, ok := diag.Nearest(*target, values); ok {
			return fmt.Errorf("-o %s: write %s; did you mean %s?", *target, accepted, near)
		}
		return fmt.Errorf("-o %s: write %s", *target, accepted)
	}
}
