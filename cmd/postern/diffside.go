package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/inspect/client"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diff"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// compared is one side.
type compared struct {
	diff.Side
	// elsewhere is by what a model was made in another process; without flags where objects are translated here.
	elsewhere options.Elsewhere
	// What of it was made up here because its manifests do not say it:
	// certificate says that the default certificate was made up, trust that the CAs of backends are this machine's.
	certificate, trust bool
}

// sides reads both. What was made up for one is as it is on the other, so that it makes no difference.
func (d *differ) sides(c *cobra.Command, args []string) (a, b diff.Side, err error) {
	if d.apply {
		return d.applied(c, args)
	}
	var both [2]compared
	for i, arg := range args {
		if both[i], err = d.made(c, arg); err != nil {
			return a, b, err
		}
	}
	for i, arg := range args {
		if made := both[1-i].elsewhere; !both[i].made() && both[1-i].made() {
			if err := d.adopt(c, arg, args[1-i], made.Flags); err != nil {
				return a, b, err
			}
		}
	}
	if err := d.translated(c, args, &both); err != nil {
		return a, b, err
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

func (c compared) made() bool { return c.elsewhere.Flags != nil }

// made is the side of a model that was made elsewhere: a live server's, or a bootstrap's. Others are empty.
func (d *differ) made(c *cobra.Command, arg string) (compared, error) {
	switch {
	case arg == wordLive:
		asked, done, err := d.cluster.open(c, &d.server)
		if err != nil {
			return compared{}, orPath(arg, err)
		}
		defer done()
		return served(c.Context(), asked)
	case isServer(arg):
		asked, err := d.server.At(arg, "the side").Client()
		if err != nil {
			return compared{}, err
		}
		return served(c.Context(), asked)
	}
	text, is := bootstrap(arg)
	if !is {
		return compared{}, nil
	}
	g, by, err := static.ReadModel(text)
	if err != nil {
		return compared{}, fmt.Errorf("%s: %w", arg, err)
	}
	return compared{Side: diff.Side{Gateway: g}, elsewhere: by}, nil
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

// settings are those of the flags; made says that their certificate was made up.
func (d *differ) settings() (s translator.Settings, made bool, err error) {
	if s, err = d.options.Settings(); err != nil {
		return s, false, err
	}
	made, err = options.EnsureCertificate(&s)
	return s, made, err
}

// applied are objects, and what they are once others were applied to them.
func (d *differ) applied(c *cobra.Command, args []string) (a, b diff.Side, err error) {
	settings, _, err := d.settings()
	if err != nil {
		return a, b, err
	}
	translate, namespace, err := d.onto(c, args[0], settings)
	if err != nil {
		return a, b, err
	}
	applied, err := files.Read(args[1:], files.Options{Stdin: c.InOrStdin(), Namespace: namespace})
	if err != nil {
		return a, b, err
	}
	var sides [2]diff.Side
	for i, world := range []source.World{{}, applied.World()} {
		out, err := translate(world, applied.World().Services)
		if err != nil {
			return a, b, err
		}
		if i == 1 { // What could not be read for the second side includes that for the first.
			tell(c.ErrOrStderr(), out.caveats)
		}
		sides[i] = diff.Side{Gateway: out.result.Gateway, Diagnostics: out.result.Diagnostics}
		if d.ignoreEndpoints {
			sides[i] = sides[i].Served()
		}
	}
	return sides[0], sides[1], nil
}

// translating translates a side with objects applied to it; known are Services that it may lack.
type translating func(applied source.World, known []source.Service) (translated, error)

// onto translates the objects of a side with others applied to them, and says into which namespace those go that name none.
func (d *differ) onto(c *cobra.Command, arg string, s translator.Settings) (translate translating, namespace string, err error) {
	if arg == wordCluster {
		read, err := d.cluster.list(c, s)
		if err != nil {
			return nil, "", orPath(arg, err)
		}
		namespace, err := d.cluster.applies()
		return func(w source.World, _ []source.Service) (translated, error) { return read.translate(c.Context(), s, w) }, namespace, err
	}
	state, err := files.Read([]string{arg}, files.Options{Stdin: c.InOrStdin()})
	if err != nil {
		return nil, "", err
	}
	return func(w source.World, known []source.Service) (translated, error) {
		// Files have no age.
		return d.manifests(c, arg, state.World().Apply(w, time.Time{}), known, s), nil
	}, "", nil
}

// translated makes the sides of objects, by the flags.
func (d *differ) translated(c *cobra.Command, args []string, both *[2]compared) error {
	settings, selfSigned, err := d.settings()
	if err != nil {
		return err
	}
	var read [2]translated
	for i, arg := range args {
		if both[i].made() {
			continue
		}
		if read[i], err = d.objects(c, arg, settings, both[1-i].elsewhere); err != nil {
			return err
		}
	}
	for i, arg := range args {
		if both[i].made() {
			continue
		}
		out := read[i]
		if arg != wordCluster {
			known := read[1-i].world.Services
			if both[1-i].made() {
				known = servicesOf(both[1-i].Gateway)
			}
			out = d.manifests(c, arg, out.world, known, settings)
		}
		g := out.result.Gateway
		both[i] = compared{
			Side:        diff.Side{Gateway: g, Diagnostics: out.result.Diagnostics},
			certificate: selfSigned && g.Default == settings.Resolve.DefaultCertificate, trust: d.options.UpstreamCA == "",
		}
	}
	return nil
}

// objects reads the cluster's, and translates them, or those of manifests, which are of a cluster whose classes are known
// elsewhere.
func (d *differ) objects(c *cobra.Command, arg string, settings translator.Settings, elsewhere options.Elsewhere) (translated, error) {
	if arg == wordCluster {
		out, err := d.cluster.read(c, settings)
		tell(c.ErrOrStderr(), out.caveats)
		return out, orPath(arg, err)
	}
	state, err := files.Read([]string{arg}, files.Options{Stdin: c.InOrStdin()})
	if err != nil {
		return translated{}, err
	}
	return translated{world: elsewhere.World().Apply(state.World(), time.Time{})}, nil
}

// orPath is an error of a side that is a word, and says how a path of that name is written where there is one.
func orPath(word string, err error) error {
	if _, none := os.Stat(word); err == nil || none != nil {
		return err
	}
	return fmt.Errorf("%w\n%s is the word here; the path of that name is ./%s", err, word, word)
}

// isServer says whether a side is the address of a server: a URL, or HOST:PORT where there is no path of that name.
func isServer(arg string) bool {
	if strings.Contains(arg, "://") {
		return true
	}
	address, _, _ := strings.Cut(arg, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	_, isNumber := strconv.ParseUint(port, 10, 16)
	_, none := os.Stat(arg)
	return isNumber == nil && none != nil
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
	var by options.Elsewhere
	if err := server.Get(ctx, "/settings", nil, &by); err != nil {
		return compared{}, err
	}
	return compared{Side: diff.Side{Gateway: g}, elsewhere: by}, nil
}
