package translator_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// The size of the law: each Ingress of each world is removed, and each request asked again.
const (
	removalWorlds   = 200
	removalRequests = 40
	// failingWorlds are enough to see the law fail.
	failingWorlds = 20
)

// TestRemovalChangesOwnRequestsOnly: removing an Ingress changes a request's answer only where a rule or default
// backend of that Ingress gave it, or where what answers now is a rule that had lost its host and path to that Ingress.
// A certificate changes only where it was served for a tls block of the Ingress. Read backwards, it is what adding an
// Ingress may change. There are two exceptions, the last priority of a host and the TLS settings of a host:
// docs/design/precedence.md.
func TestRemovalChangesOwnRequestsOnly(t *testing.T) {
	changed, reordered, asked := 0, 0, 0
	eachRemoval(t, removalWorlds, func(t *testing.T, r removal, w source.World, s translator.Settings) {
		r.after, r.reordered = translator.Translate(w, s), func() { reordered++ }
		for _, p := range r.probes {
			was, is := tell(t, r.before, p), tell(t, r.after, p)
			if why := r.unlawful(was, is); why != "" && (r.asksOf(p) || r.disputed(was)) {
				asked++
			} else if why != "" {
				t.Errorf("%s: without Ingress %s, %s\n%s\nbefore:\n%safter:\n%s", p.Position, r.object.Name, why, p.Line, was.Text(), is.Text())
			}
			if !reflect.DeepEqual(was.Decision, is.Decision) {
				changed++
			}
		}
	})
	if changed < removalWorlds*removalRequests/4 || reordered == 0 || asked == 0 {
		t.Errorf("the removals changed %d answers, %d and %d of them by the exceptions: too few to tell anything", changed, reordered, asked)
	}
	t.Logf("the removals changed %d answers, %d because of a priority and %d because of TLS settings", changed, reordered, asked)
}

// TestRemovalLawCanFail: it notices where more has gone than the one Ingress.
func TestRemovalLawCanFail(t *testing.T) {
	found := 0
	eachRemoval(t, failingWorlds, func(t *testing.T, r removal, w source.World, s translator.Settings) {
		if len(w.Ingresses) == 0 {
			return
		}
		r.after, r.reordered = translator.Translate(without(w, 0), s), func() {}
		for _, p := range r.probes {
			if r.unlawful(tell(t, r.before, p), tell(t, r.after, p)) != "" {
				found++
			}
		}
	})
	if found < failingWorlds {
		t.Errorf("the law noticed %d changes that were not its Ingress's own", found)
	}
}

// eachRemoval runs a law on the removal of each Ingress of n worlds: w lacks the Ingress.
func eachRemoval(t *testing.T, n uint64, law func(t *testing.T, r removal, w source.World, s translator.Settings)) {
	t.Helper()
	for seed := range n {
		w := worlds.Draw(seed, worlds.DrawSettings(seed))
		c, err := casetest.Parse(t, fmt.Sprintf("seed %d", seed), w.Case("A world.", ""))
		if err != nil {
			t.Fatal(err)
		}
		objects, settings := c.World(t)
		before := translator.Translate(objects, settings)
		for i, ing := range objects.Ingresses {
			object := model.ObjectID{Cluster: ing.Cluster, Namespace: ing.Namespace, Name: ing.Name}
			law(t, removal{object: object, ingress: ing, before: before, probes: w.Probes(removalRequests)}, without(objects, i), settings)
		}
	}
}

func without(w source.World, ingress int) source.World {
	w.Ingresses = slices.Delete(slices.Clone(w.Ingresses), ingress, ingress+1)
	return w
}

func tell(t *testing.T, r translator.Result, p casetest.Probe) explain.Story {
	t.Helper()
	story, err := explain.Explain(r.Gateway, r.Diagnostics, explain.Request{
		Method: p.Method, URL: p.URL, Header: p.Header, From: p.From, HTTP2: p.HTTP2,
		SNI: p.SNI, TLSVersion: p.TLSVersion, ClientCertificate: p.Client.Pair().Certificate,
	})
	if err != nil {
		t.Fatalf("%s %s: %v", p.Position, p.Line, err)
	}
	return story
}

// removal is a world before and after one of its Ingresses has gone.
type removal struct {
	object        model.ObjectID
	ingress       source.Ingress
	before, after translator.Result
	probes        []casetest.Probe
	// reordered is called where an answer changed by the exception.
	reordered func()
}

// owns says whether a place is in the Ingress that has gone.
func (r removal) owns(o diag.Origin) bool {
	return o.Kind == "Ingress" && o.Cluster == r.object.Cluster && o.Namespace == r.object.Namespace && o.Name == r.object.Name
}

// unlawful says what of an answer changed that may not, empty for nothing.
func (r removal) unlawful(was, is explain.Story) string {
	served := was.Certificate != nil && is.Certificate != nil // Else a handshake failed, which the decision tells.
	if served && !reflect.DeepEqual(was.Certificate, is.Certificate) && !slices.ContainsFunc(was.Certificate.Origins, r.owns) {
		return "another certificate is served, although the one before was not its"
	}
	if reflect.DeepEqual(was.Decision, is.Decision) {
		return ""
	}
	old, answered := matched(was)
	next, answers := matched(is)
	mine := answered && r.owns(old.Origin)
	switch {
	case answers && r.lost(next, is.Entry), mine && (!answers || behind(was, next)):
		return ""
	case answered && r.lastPriority(old.Host, is.Entry), answers && r.lastPriority(next.Host, is.Entry):
		r.reordered()
		return ""
	case mine:
		return "a rule answers that stood neither behind it nor had lost to it"
	default:
		return "the answer is another, although it was not the one who gave it"
	}
}

// asksOf says whether a request came over a connection of which the Ingress asked something: its TLS settings hold for
// every HTTPS route of its hosts, whoever wrote it, and for those that a wildcard with settings backs.
func (r removal) asksOf(p casetest.Probe) bool {
	_, ca := r.ingress.Annotations["postern.dev/client-ca-secret"]
	_, version := r.ingress.Annotations["postern.dev/tls-min-version"]
	rest, https := strings.CutPrefix(p.URL, "https://")
	if !https || !ca && !version {
		return false
	}
	authority := rest[:strings.IndexAny(rest+"/", "/?#")]
	return slices.ContainsFunc([]string{p.SNI, authority}, func(name string) bool {
		name, _, _ = strings.Cut(strings.ToLower(name), ":")
		asked, err := model.ParseHost(name)
		return err == nil && slices.ContainsFunc(r.ingress.Spec.Rules, func(rule networkingv1.IngressRule) bool {
			host, err := model.ParseHost(rule.Host)
			return err == nil && host.HasServerName() && (host == asked || host.Covers(asked))
		})
	})
}

// disputed says whether a route was closed because its own TLS settings are not those of the Ingress, which held for the
// host: over plain HTTP it is closed as well.
func (r removal) disputed(was explain.Story) bool {
	holder := fmt.Sprintf("has the TLS settings of Ingress %s/%s, which are others", r.object.Namespace, r.object.Name)
	return was.Decision.Status == http.StatusServiceUnavailable && strings.HasSuffix(was.Decision.Reason, holder)
}

// matched is the route that answered.
func matched(s explain.Story) (explain.Candidate, bool) {
	i := slices.IndexFunc(s.Candidates, func(c explain.Candidate) bool { return c.Outcome == explain.Matched })
	if i < 0 {
		return explain.Candidate{}, false
	}
	return s.Candidates[i], true
}

// behind says whether a route would have answered had the one before it not.
func behind(s explain.Story, next explain.Candidate) bool {
	return slices.ContainsFunc(s.Candidates, func(c explain.Candidate) bool {
		return c.Outcome == explain.Later && c.Host == next.Host && c.Path == next.Path && c.Origin == next.Origin
	})
}

// lost says whether a route of now had lost its host and path to the Ingress that has gone.
func (r removal) lost(now explain.Candidate, entry string) bool {
	return slices.ContainsFunc(hostRoutes(r.before, entry, now.Host), func(route model.Route) bool {
		return route.Path.String() == now.Path && r.owns(route.Origins[0]) && slices.Contains(route.Losers, now.Origin)
	})
}

// lastPriority says whether the Ingress had a rule with a priority in a host, whose rules are not ordered by weight any
// more without it.
func (r removal) lastPriority(host, entry string) bool {
	before := hostRoutes(r.before, entry, host)
	return weighted(before) && !weighted(hostRoutes(r.after, entry, host)) && slices.ContainsFunc(before, func(route model.Route) bool {
		// What had lost may have had the priority.
		return r.owns(route.Origins[0]) && route.Priority > 0 || slices.ContainsFunc(route.Losers, r.owns)
	})
}

func weighted(routes []model.Route) bool {
	return slices.ContainsFunc(routes, func(route model.Route) bool { return route.Weight > 0 })
}

// hostRoutes are the routes of a host as stories name it.
func hostRoutes(r translator.Result, entry, host string) []model.Route {
	for _, t := range r.Gateway.Tables {
		if t.Entry.Name != entry {
			continue
		}
		for _, h := range slices.Concat(t.Exact, t.Wildcard) {
			if h.Host.Name() == host {
				return h.Routes
			}
		}
		return map[string][]model.Route{"*": t.Any, "default backend": t.Default}[host]
	}
	return nil
}
