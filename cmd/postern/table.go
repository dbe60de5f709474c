package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/report"
)

// table writes the answers of a snapshot for people.
type table struct {
	columns *tabwriter.Writer
	err     error
}

func newTable(w io.Writer) *table {
	return &table{columns: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

// row writes one line. What a server says may hold what a terminal would act on.
func (t *table) row(cells ...any) {
	var texts []string
	for _, cell := range cells {
		texts = append(texts, strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return '?'
			}
			return r
		}, fmt.Sprint(cell)))
	}
	if _, err := fmt.Fprintln(t.columns, strings.Join(texts, "\t")); err != nil && t.err == nil {
		t.err = err
	}
}

// end writes what is held back for its columns.
func (t *table) end() error {
	if err := t.columns.Flush(); err != nil {
		return err
	}
	return t.err
}

func (t *table) totals(r inspect.Resources, live bool) {
	if live {
		t.row(fmt.Sprintf("revision %d, published %s", r.Revision, r.At.UTC().Format(time.RFC3339)))
		t.row()
	}
	head := []any{"TYPE", "", "RESOURCES", "BYTES"}
	if live {
		head = append(head, "REFUSED")
	}
	t.row(head...)
	for _, k := range r.Types {
		cells := []any{k.Type, k.Short, k.Resources, k.Bytes}
		if live {
			cells = append(cells, k.Refused)
		}
		t.row(cells...)
	}
}

func (t *table) list(r inspect.ResourceList, live bool) {
	if len(r.Resources) == 0 {
		t.row("no " + r.Type + " are served")
		return
	}
	head := []any{"NAME", "VERSION", "BYTES"}
	if live {
		head = append(head, "AGE", "REFUSED BY")
	}
	t.row(append(head, "ORIGIN")...)
	for _, one := range r.Resources {
		cells := []any{one.Name, shortVersion(one.Version), one.Bytes}
		if live {
			refused := "-"
			if n := len(one.RefusedBy); n > 0 {
				refused = report.Count(n, "proxy", "proxies")
			}
			cells = append(cells, age(one.AgeSeconds), refused)
		}
		t.row(append(cells, firstOrigin(one.Origins))...)
	}
}

func (t *table) resource(r inspect.Resource, live bool) error {
	t.row("type", r.TypeURL)
	t.row("name", r.Name)
	t.row("version", r.Version)
	t.row("bytes", r.Bytes)
	if live {
		t.row("served since", fmt.Sprintf("%s (%s)", r.Since.UTC().Format(time.RFC3339), age(r.AgeSeconds)))
	}
	for _, node := range r.RefusedBy {
		t.row("refused by", node)
	}
	for _, origin := range originTexts(r.Origins) {
		t.row("origin", origin)
	}
	if r.Secret != nil {
		t.secret(*r.Secret)
		return nil
	}
	text, err := yaml.JSONToYAML(r.Content)
	if err != nil {
		return fmt.Errorf("print %s: %w", r.Name, err)
	}
	t.row()
	for line := range strings.Lines(string(text)) {
		t.row(strings.TrimSuffix(line, "\n"))
	}
	return nil
}

func (t *table) secret(s inspect.SecretFacts) {
	t.row("kind", s.Kind)
	for _, c := range s.Certificates {
		t.row()
		t.row("subject", c.Subject)
		t.row("issuer", c.Issuer)
		t.row("names", strings.Join(c.Names, " "))
		t.row("not before", c.NotBefore.UTC().Format(time.RFC3339))
		t.row("not after", c.NotAfter.UTC().Format(time.RFC3339))
		t.row("serial", c.Serial)
		t.row("fingerprint", c.Fingerprint)
	}
}

func (t *table) proxies(p inspect.Proxies) {
	if !slices.ContainsFunc(p.Proxies, func(one inspect.Proxy) bool { return !one.Authorizer }) {
		t.row("no proxy is connected")
		if len(p.Proxies) == 0 {
			return
		}
	}
	replicas := len(p.Replicas) > 0
	heading := []any{"NODE", "AGENT", "CONNECTED", "REVISION", "BEHIND", "RESOURCES", "PENDING", "REFUSED"}
	if replicas {
		heading = append(heading, "REPLICA")
	}
	t.row(heading...)
	for _, one := range p.Proxies {
		accepted, pending, refused := 0, 0, 0
		for _, k := range one.Types {
			accepted += k.AcceptedCount
			pending += k.PendingCount
			refused += len(k.Refused)
		}
		row := []any{one.Node, agent(one), one.Connected.UTC().Format(time.RFC3339), one.Revision, behind(one), accepted, pending, refused}
		if replicas {
			row = append(row, orDash(one.Replica))
		}
		t.row(row...)
	}
	for _, one := range p.Proxies {
		t.refusals(one)
	}
}

// agent is the software that a proxy says it is. An authorizer is told from the proxy that it belongs to.
func agent(p inspect.Proxy) string {
	if p.Authorizer {
		return orDash(p.Agent) + " (no proxy)"
	}
	return orDash(p.Agent)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// behind is how far a proxy is behind.
func behind(p inspect.Proxy) string {
	if p.Behind == 0 {
		return "-"
	}
	return fmt.Sprintf("%d (%s)", p.Behind, age(p.BehindSeconds))
}

// refusals are what a proxy has refused, in its own words.
func (t *table) refusals(p inspect.Proxy) {
	for _, k := range p.Types {
		if k.LastNACK == nil || len(k.Refused) == 0 {
			continue
		}
		t.row()
		t.row(fmt.Sprintf("%s refuses %s at %s: %s", p.Node, versionNames(k.Refused), k.LastNACK.Time.UTC().Format(time.RFC3339), oneLine(k.LastNACK.Words)))
		for _, origin := range originTexts(k.LastNACK.Origins) {
			t.row("  of " + origin)
		}
	}
}

func versionNames(versions []xds.NamedVersion) string {
	var names []string
	for _, v := range versions {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (t *table) streams(p inspect.ProxyStreams) {
	for i, s := range p.Streams {
		if i > 0 {
			t.row()
		}
		t.row("node", s.Node)
		t.row("cluster", orDash(s.Cluster))
		t.row("agent", agent(s))
		t.row("connected", s.Connected.UTC().Format(time.RFC3339))
		if s.Replica == "" {
			t.row("revision", fmt.Sprintf("%d of %d", s.Revision, p.Revision))
		} else { // Each counts its own.
			t.row("replica", s.Replica)
			t.row("revision", s.Revision)
		}
		t.row("behind", behind(s))
		t.row()
		t.row("TYPE", "NAME", "STATE", "VERSION")
		for _, k := range s.Types {
			t.held(k)
		}
		t.refusals(s)
	}
}

// held are the resources of a type, each by what the proxy last did with it.
func (t *table) held(k inspect.ProxyType) {
	states := map[string]bool{}
	for _, r := range k.Refused {
		t.row(k.Type, r.Name, "refused", shortVersion(r.Version))
		states[r.Name] = true
	}
	for _, name := range k.Pending {
		if !states[name] {
			t.row(k.Type, name, "pending", "-")
			states[name] = true
		}
	}
	for _, a := range k.Accepted {
		if !states[a.Name] {
			t.row(k.Type, a.Name, "accepted", shortVersion(a.Version))
			states[a.Name] = true
		}
	}
	for _, name := range k.Subscribed {
		if !states[name] {
			t.row(k.Type, name, "not there", "-")
		}
	}
}
