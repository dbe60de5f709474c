package diff

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// Kind is how requests of a class fare otherwise.
type Kind string

// The kinds.
const (
	// Added is where nothing answered before.
	Added Kind = "added"
	// Removed is where nothing answers now.
	Removed Kind = "removed"
	// Elsewhere is where another backend answers.
	Elsewhere Kind = "goes elsewhere"
	// OtherAnswer is where the gateway answers in the place of a backend, or no longer does.
	OtherAnswer Kind = "other answer"
	// OtherPolicy is where the same backend answers, and something else is done to the request, the answer or the connection.
	OtherPolicy Kind = "other policy"
	// OtherCertificate is where the handshake shows another one.
	OtherCertificate Kind = "other certificate"
)

var kinds = []Kind{Removed, Elsewhere, OtherAnswer, OtherPolicy, OtherCertificate, Added}

// Report is what differs. It is empty where nobody can tell the two sides apart.
type Report struct {
	Classes []Class `json:"classes"`
	// Unseen are routes that are written otherwise, for which no request was found that shows it.
	Unseen []Unseen `json:"unseen,omitempty"`
	// Elsewhere is at how many paths of hosts something differs that is of other namespaces than the one that is told of.
	Elsewhere int `json:"elsewhere,omitempty"`
}

// Unseen is a path that comes to routes that are not the same, without a witness.
type Unseen struct {
	Entry  string `json:"entry"`
	Host   string `json:"host"`
	Asked  string `json:"asked"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Count is at how many paths of hosts the same is written; Entry, Host and Asked are the first.
	Count int `json:"count"`
}

// Class is an equal change over hosts and paths.
type Class struct {
	Kind Kind `json:"kind"`
	// Changed are the words for what changes.
	Changed []string `json:"changed"`
	// Before and After are either side's in a line.
	Before string `json:"before"`
	After  string `json:"after"`
	// Hosts are sorted by entry and host; Count is how many there are, each with its paths.
	Hosts []Host `json:"hosts"`
	Count int    `json:"count"`
	// BeforeOrigins and AfterOrigins are where it is written, those of the first hosts.
	BeforeOrigins model.Origins `json:"beforeOrigins,omitempty"`
	AfterOrigins  model.Origins `json:"afterOrigins,omitempty"`
	// Witness is a request of which explain tells the difference, nil where it tells none: where no request was found, or where
	// nothing but values differ that are nobody's business.
	Witness *Witness `json:"witness,omitempty"`
	// untold is how many requests were found of which explain tells no difference.
	untold int
}

// Host is a host of an entry: * for all that nobody names.
type Host struct {
	Entry string `json:"entry"`
	Host  string `json:"host"`
	// Every says that all hosts of the entry are meant.
	Every bool `json:"every,omitempty"`
	// Connection says that the handshake is meant, whatever the path.
	Connection bool   `json:"connection,omitempty"`
	Paths      []Path `json:"paths"`
}

// Path is a path of a host.
type Path struct {
	// Pattern is that of the rule that answers, or did.
	Pattern string `json:"pattern"`
	// Asked are paths of the class that were asked for.
	Asked []string `json:"asked"`
	// Requests are witnesses, one for each of Asked.
	Requests []explain.Request `json:"-"`
}

// Witness is a request that the two sides treat otherwise.
type Witness struct {
	// Request is as it may be shown; Hidden says that something else stands in it for what may not.
	Request explain.Request `json:"-"`
	Hidden  bool            `json:"-"`
	// Command asks about it, but for the side. NAME stands in it for a user, VALUE for a header's value that an annotation has.
	Command string `json:"command"`
	// Before and After are what it gets.
	Before string `json:"before"`
	After  string `json:"after"`
}

// Different says whether anything differs.
func (r Report) Different() bool { return len(r.Classes) > 0 }

// originsShown bounds the places that a class keeps of either side.
const originsShown = 8

// take adds a path.
func (c *Class) take(m member) {
	if c.Witness == nil && m.found && c.untold < untoldMax {
		c.witness(m)
	}
	host := Host{Entry: m.class.scheme, Host: m.class.String(), Every: m.every, Connection: m.connection}
	i := len(c.Hosts) - 1
	if i < 0 || c.Hosts[i].Entry != host.Entry || c.Hosts[i].Host != host.Host || c.Hosts[i].Every != host.Every {
		c.Hosts = append(c.Hosts, host)
		i++
	}
	c.Hosts[i].take(m)
	c.BeforeOrigins, c.AfterOrigins = merged(c.BeforeOrigins, m.a), merged(c.AfterOrigins, m.b)
}

// untoldMax is of how many requests of a class it is asked whether explain tells the difference.
const untoldMax = 5

// witness takes a member's request where explain tells the difference.
func (c *Class) witness(m member) {
	x, errA := told(m.pair.a, m.request)
	y, errB := told(m.pair.b, m.request)
	if errA != nil || errB != nil || x.Same(y) && x.Text == y.Text {
		c.untold++
		return
	}
	w := &Witness{Before: x.Text, After: y.Text}
	w.Request, w.Hidden = withoutSecrets(m.request, m.pair)
	w.Command = Command(w.Request)
	if w.Before == w.After && m.connection {
		w.Before, w.After = c.Before, c.After
	}
	c.Witness = w
}

// What stands in a request for what is not shown.
const (
	someUser  = "NAME"
	someValue = "VALUE"
)

// withoutSecrets is a request as it may be shown, and whether something is left out: the name of a user, and the value of a
// header that an annotation knows.
func withoutSecrets(r explain.Request, of pair) (out explain.Request, hidden bool) {
	if r.User != "" {
		r.User, hidden = someUser, true
	}
	r.Header = r.Header.Clone()
	for _, g := range []model.Gateway{of.a, of.b} {
		for _, t := range g.Tables {
			for _, h := range slices.Concat(t.Exact, t.Wildcard, []model.HostRoutes{{Routes: t.Any}, {Routes: t.Default}}) {
				for _, route := range h.Routes {
					hidden = hideKnown(r.Header, route.HTTPSRedirect) || hidden
				}
			}
		}
	}
	return r, hidden
}

// hideKnown hides the values by which a redirect has a request count as HTTPS. That X-Forwarded-Proto may say https is
// no secret.
func hideKnown(h http.Header, redirect *model.HTTPSRedirect) (hidden bool) {
	if redirect == nil {
		return false
	}
	for _, known := range redirect.Unless {
		value := h.Get(known.Name)
		if value != "" && value != someValue && known.Is(value) && !strings.EqualFold(known.Name+": "+value, "x-forwarded-proto: https") {
			h.Set(known.Name, someValue)
			hidden = true
		}
	}
	return hidden
}

func (h *Host) take(m member) {
	i := slices.IndexFunc(h.Paths, func(p Path) bool { return p.Pattern == m.pattern })
	if i < 0 {
		i, h.Paths = len(h.Paths), append(h.Paths, Path{Pattern: m.pattern})
	}
	h.Paths[i].Asked = append(h.Paths[i].Asked, m.path)
	if m.found {
		h.Paths[i].Requests = append(h.Paths[i].Requests, m.request)
	}
}

func merged(has model.Origins, more []diag.Origin) model.Origins {
	for _, o := range more {
		if len(has) < originsShown && !slices.Contains(has, o) {
			has = append(has, o)
		}
	}
	return has
}

// finish sorts what was taken.
func (c *Class) finish() {
	slices.SortStableFunc(c.Hosts, func(a, b Host) int { return cmp.Or(strings.Compare(a.Entry, b.Entry), strings.Compare(a.Host, b.Host)) })
	c.Count = len(c.Hosts)
}

func (c Class) firstPlace() string {
	if len(c.Hosts) == 0 {
		return ""
	}
	return c.Hosts[0].Entry + " " + c.Hosts[0].Host + " " + c.Hosts[0].Paths[0].Pattern
}
