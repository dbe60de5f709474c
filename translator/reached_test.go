package translator_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/source"
)

// The size of the law on who gets no request: of some worlds every request is asked, of the others those that stand for all.
const (
	reachWorlds      = 2000
	reachWholeWorlds = 15
	// wholeLengthMax is that of the requests of the former. It leaves room for two characters behind each path of theirs.
	wholeLengthMax = 6
)

// site is a path of a rule, a rule without paths, or a default backend.
type site struct{ ingress, field string }

// reach is what the law compares, for a site on an entry.
type reach struct {
	site
	entry string
}

// TestUnreachedRoutesAreTold: a path, or a default backend, is told of as getting no request exactly where none of all
// requests is answered by it, on each entry; it is told once; and what is named in its place takes all that it would
// match. Explain says who answers.
func TestUnreachedRoutesAreTold(t *testing.T) {
	settings := reachSettings(t)
	hidden, taken, oneEntry := 0, 0, 0
	for seed := range uint64(reachWorlds) {
		w, s := drawReach(settings, seed, 3)
		r := translator.Translate(w, s)
		for _, wrong := range unlawfulReach(t, w, r, requestsOf(w)) {
			t.Errorf("seed %d: %s", seed, wrong)
		}
		for _, d := range r.Diagnostics {
			switch {
			case d.Code == diag.CodeHidden:
				hidden++
			case d.Code == diag.CodeConflict:
				taken++
			}
			if strings.HasPrefix(d.Effect, "on the ") {
				oneEntry++
			}
		}
	}
	if hidden < reachWorlds/10 || taken < reachWorlds/10 || oneEntry < reachWorlds/20 {
		t.Errorf("%d hidden, %d taken, %d on one entry: too few to tell anything", hidden, taken, oneEntry)
	}
	t.Logf("%d hidden, %d taken, %d of both on one entry only", hidden, taken, oneEntry)
}

// TestUnreachedByEveryRequest is the same of every request there is, up to a length.
func TestUnreachedByEveryRequest(t *testing.T) {
	settings := reachSettings(t)
	every := everyPath(wholeLengthMax)
	longest := func(w source.World) int {
		return len(slices.MaxFunc(requestsOf(w), func(a, b string) int { return len(a) - len(b) }))
	}
	for seed, done := uint64(0), 0; done < reachWholeWorlds; seed++ {
		w, s := drawReach(settings, seed, 2)
		if longest(w) > wholeLengthMax {
			continue
		}
		done++
		for _, wrong := range unlawfulReach(t, w, translator.Translate(w, s), every) {
			t.Errorf("seed %d: %s", seed, wrong)
		}
	}
}

// TestReachLawCanFail: it notices what is not told, and what is told of a route that is reached.
func TestReachLawCanFail(t *testing.T) {
	settings := reachSettings(t)
	silent, loud := 0, 0
	for seed := range uint64(failingWorlds * 5) {
		w, s := drawReach(settings, seed, 3)
		r := translator.Translate(w, s)
		all := r.Diagnostics
		r.Diagnostics = nil
		silent += len(unlawfulReach(t, w, r, requestsOf(w)))
		at := diag.Origin{Kind: "Ingress", Namespace: "default", Name: w.Ingresses[0].Name, Field: "spec.rules[0].http.paths[0]"}
		r.Diagnostics = append(slices.Clone(all), diag.New(diag.CodeHidden, at, "m", "e", "f").With(at))
		loud += len(unlawfulReach(t, w, r, requestsOf(w)))
	}
	if silent < failingWorlds || loud < failingWorlds {
		t.Errorf("the law noticed %d routes that nobody was told of and %d that were told of in vain", silent, loud)
	}
}

// TestNothingReachedIsTold: of all that Ingresses can ask for, what answers a request was not told that it gets none.
func TestNothingReachedIsTold(t *testing.T) {
	told, asked := 0, 0
	for seed := range uint64(removalWorlds) {
		w := worlds.Draw(seed, worlds.DrawSettings(seed))
		c, err := casetest.Parse(t, fmt.Sprintf("seed %d", seed), w.Case("A world.", ""))
		if err != nil {
			t.Fatal(err)
		}
		objects, settings := c.World(t)
		r := translator.Translate(objects, settings)
		silent := toldUnreached(r)
		told += len(silent)
		for _, p := range w.Probes(removalRequests) {
			story := tell(t, r, p)
			answer, ok := matched(story)
			if !ok {
				continue
			}
			asked++
			at := reach{site{answer.Origin.Name, answer.Origin.Field}, story.Entry}
			for _, d := range silent[at] {
				// Alternatives of one path stand in one place.
				if d.Origin.Namespace == answer.Origin.Namespace && strings.HasPrefix(d.Message, answer.Host+" "+answer.Path+" is ") {
					t.Errorf("%s: %s\n%s", p.Position, d, story.Text())
				}
			}
		}
	}
	if told == 0 || asked < removalWorlds {
		t.Errorf("%d places were told and %d requests answered: too few to tell anything", told, asked)
	}
}

// unlawfulReach says where what is told is not what requests for the paths find.
func unlawfulReach(t *testing.T, w source.World, r translator.Result, paths []string) []string {
	t.Helper()
	reached, told := map[reach]bool{}, toldUnreached(r)
	var wrong []string
	for _, entry := range []string{"http", "https"} {
		for _, host := range []string{"x.t", "fresh.t", "fresh"} {
			for _, path := range paths {
				story, err := explain.Explain(r.Gateway, nil, explain.Request{URL: entry + "://" + host + path})
				if err != nil {
					t.Fatal(err)
				}
				answer, ok := matched(story)
				if !ok {
					continue
				}
				for _, o := range story.Origins {
					if o.Kind == "Ingress" && o.Annotation == "" {
						reached[reach{site{o.Name, o.Field}, entry}] = true
					}
				}
				for _, c := range story.Candidates {
					for _, d := range told[reach{site{c.Origin.Name, c.Origin.Field}, entry}] {
						if c.Outcome == explain.Later && d.Code == diag.CodeHidden && !takenByOthers(story, d) {
							wrong = append(wrong, fmt.Sprintf("%s is answered by %s, and by none of those that are named: %s", story.Request, answer.Origin, d))
						}
					}
				}
			}
		}
	}
	for _, at := range sitesOf(w) {
		switch n := len(told[at]); {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%v is told %d times", at, n))
		case reached[at] && n > 0:
			wrong = append(wrong, fmt.Sprintf("%v is reached: %s", at, told[at][0]))
		case !reached[at] && n == 0:
			wrong = append(wrong, fmt.Sprintf("%v is not reached, and nobody is told", at))
		}
	}
	return wrong
}

// takenByOthers says whether a route that a diagnostic names matches the request of a story.
func takenByOthers(s explain.Story, d diag.D) bool {
	return slices.ContainsFunc(s.Candidates, func(c explain.Candidate) bool {
		return c.Outcome != explain.Lost && slices.Contains(d.Others, c.Origin)
	})
}

// toldUnreached are the diagnostics that say of a place that it gets no request, by place and entry.
func toldUnreached(r translator.Result) map[reach][]diag.D {
	out := map[reach][]diag.D{}
	for _, d := range r.Diagnostics {
		if d.Code != diag.CodeConflict && d.Code != diag.CodeHidden {
			continue
		}
		for _, entry := range []string{"http", "https"} {
			if !strings.HasPrefix(d.Effect, "on the ") || strings.HasPrefix(d.Effect, "on the "+entry+" entry ") {
				at := reach{site{d.Origin.Name, d.Origin.Field}, entry}
				out[at] = append(out[at], d)
			}
		}
	}
	return out
}

// sitesOf are all places of a world that ask for requests, on each entry where they do.
func sitesOf(w source.World) []reach {
	var out []reach
	for _, ing := range w.Ingresses {
		for _, entry := range []string{"http", "https"} {
			only, limited := ing.Annotations[traefikPrefix+"frontend-entry-points"]
			if limited && only != entry {
				continue
			}
			add := func(format string, args ...any) {
				out = append(out, reach{site{ing.Name, fmt.Sprintf(format, args...)}, entry})
			}
			for i, rule := range ing.Spec.Rules {
				if rule.HTTP == nil {
					add("spec.rules[%d]", i)
					continue
				}
				for j := range rule.HTTP.Paths {
					add("spec.rules[%d].http.paths[%d]", i, j)
				}
			}
			if ing.Spec.DefaultBackend != nil {
				add("spec.defaultBackend")
			}
		}
	}
	return out
}

// requestsOf are paths that stand for all: each path of a rule, bare, with a slash behind it and with a dot, and each of
// these with a character behind it that no rule has.
//
// That suffices, since every match is made of such texts: it takes one as it is, or all that begins with one, which where
// a string prefix is stripped leaves out what goes on with a dot. Take any request, and of the texts the longest, v, that
// it begins with. A match that takes the request, or leaves it out, because of how it begins does the same with all that
// begins with v; one that takes it as a whole has v. So what takes the request is what takes v, if it is v, and else what
// takes v with that character. Likewise the host that rules name, one more label in the star's place and one more name
// stand for all hosts.
func requestsOf(w source.World) []string {
	texts := map[string]bool{"/": true}
	for _, ing := range w.Ingresses {
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				bare := strings.TrimRight(p.Path, "/")
				texts[bare+"/"] = true
				if bare != "" {
					texts[bare], texts[bare+"."] = true, true
				}
			}
		}
	}
	var out []string
	for text := range texts {
		out = append(out, text, text+"c")
	}
	slices.Sort(out)
	return out
}

// everyPath are all normalised paths of the characters a, b, c, . and / up to a length.
func everyPath(length int) []string {
	all, last := []string{"/"}, []string{"/"}
	for range length - 1 {
		var next []string
		for _, p := range last {
			for _, c := range "abc./" {
				if (c != '/' && c != '.') || !strings.HasSuffix(p, "/") {
					next = append(next, p+string(c))
				}
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

const traefikPrefix = "traefik.ingress.kubernetes.io/"

// reachSettings are those of a gateway with both entries.
func reachSettings(t testing.TB) translator.Settings {
	t.Helper()
	c, err := casetest.Parse(t, "settings", []byte("Settings alone.\n-- input.yaml --\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, s := c.World(t)
	return s
}

// drawReach draws a world of two to six routes that are likely to meet, with paths of so many elements at most.
func drawReach(s translator.Settings, seed uint64, depth int) (source.World, translator.Settings) {
	r := rand.New(rand.NewPCG(seed, uint64(depth)))
	s.TraefikStringPrefix = r.IntN(2) == 0
	d := reachDrawer{Rand: r, depth: depth, narrow: r.IntN(2) == 0}
	w := source.World{Services: []source.Service{{Service: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}}}}
	for routes := 2 + r.IntN(5); routes > 0; {
		n := 1 + r.IntN(min(routes, 3))
		w.Ingresses = append(w.Ingresses, d.ingress(len(w.Ingresses), n))
		routes -= n
	}
	return w, s
}

type reachDrawer struct {
	*rand.Rand
	depth int
	// narrow has all routes at and around one path of one host, where two may hide a third.
	narrow bool
}

func (d reachDrawer) ingress(i, routes int) source.Ingress {
	ing := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("i%d", i), Annotations: map[string]string{}}}
	if d.IntN(3) == 0 {
		ing.CreationTimestamp = metav1.NewTime(time.Unix(int64(d.IntN(3)), 0))
	}
	annotate := func(one int, key string, values ...string) {
		if d.IntN(one) == 0 {
			ing.Annotations[traefikPrefix+key] = values[d.IntN(len(values))]
		}
	}
	annotate(3, "priority", "1", "12", "20", "30", "60")
	annotate(2, "rule-type", "Path", "PathPrefix", "PathPrefixStrip", "PathStrip", "ReplacePath")
	annotate(5, "frontend-entry-points", "http", "https")
	annotate(6, "whitelist-source-range", "10.0.0.0/8")
	for range routes {
		switch host := d.host(); {
		case host == "default":
			ing.Spec.DefaultBackend = d.backend()
		case d.IntN(12) == 0 && ing.Spec.DefaultBackend != nil:
			ing.Spec.Rules = append(ing.Spec.Rules, networkingv1.IngressRule{Host: host})
		default:
			kind := []networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific}[d.IntN(3)]
			ing.Spec.Rules = append(ing.Spec.Rules, networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
				HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: d.path(), PathType: &kind, Backend: *d.backend()}}},
			}})
		}
	}
	return source.Ingress{Ingress: ing}
}

func (d reachDrawer) host() string {
	if d.narrow {
		return "x.t"
	}
	return []string{"x.t", "x.t", "*.t", "", "default"}[d.IntN(5)]
}

func (d reachDrawer) path() string {
	if d.narrow {
		return []string{"/a", "/a", "/a/", "/a/b", "/a.b"}[d.IntN(5)]
	}
	p := "/"
	for range d.IntN(d.depth + 1) {
		p += []string{"a", "a", "a", "b", "b", "a.b", "ab"}[d.IntN(7)] + "/"
	}
	if p != "/" && d.IntN(3) > 0 {
		p = strings.TrimSuffix(p, "/")
	}
	return p
}

func (d reachDrawer) backend() *networkingv1.IngressBackend {
	return &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
		Name: []string{"web", "web", "web", "missing"}[d.IntN(4)], Port: networkingv1.ServiceBackendPort{Number: 80},
	}}
}
