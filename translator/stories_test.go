package translator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	storyWorlds = 100
	// storyRequests are asked of each of them.
	storyRequests = 25
	// storyCanary stands in what may be a credential: the values of headers that annotations set, and of some that clients send.
	storyCanary = "canary-of-a-credential"
)

// TestStories: whatever is asked of whatever world, the story names objects of that world only, and gives every policy its
// place; it holds no secret; and it is the same story once it was JSON.
func TestStories(t *testing.T) {
	var seen seenStories
	eachStory(t, func(t *testing.T, w storyWorld, r explain.Request) {
		story, err := explain.Explain(w.result.Gateway, w.result.Diagnostics, r)
		if err != nil {
			t.Fatal(err)
		}
		text, asJSON := story.Text(), mustJSON(t, story)
		for _, secret := range w.secrets {
			if strings.Contains(asJSON, secret) || strings.Contains(text, secret) {
				t.Fatalf("a secret is told: %q is in\n%s\n%s", secret, text, asJSON)
			}
		}
		var tree any
		if err := json.Unmarshal([]byte(asJSON), &tree); err != nil {
			t.Fatal(err)
		}
		for _, object := range objectsIn(tree) {
			if !w.objects[object] {
				t.Fatalf("%s is no object of the world, and is told of in\n%s", object, asJSON)
			}
			seen.objects++
		}
		var back explain.Story
		if err := json.Unmarshal([]byte(asJSON), &back); err != nil {
			t.Fatal(err)
		}
		// Bytes that are no UTF-8, which a header may hold, are U+FFFD, which JSON may spell in two ways.
		var again any
		if err := json.Unmarshal([]byte(mustJSON(t, back)), &again); err != nil || !reflect.DeepEqual(tree, again) || back.Text() != text {
			t.Fatalf("read back it is another story, %v:\n%s\n%s\n%s", err, asJSON, text, back.Text())
		}
		judgePolicies(t, story, &seen)
	})
	if seen.objects < 10000 || seen.policies < 2000 || seen.answering < 500 || seen.losers < 50 || seen.unhealthy < 5 {
		t.Errorf("the law looks at too little: %+v", seen)
	}
}

// seenStories counts what a law had to look at.
type seenStories struct{ objects, policies, answering, losers, unhealthy int }

// judgePolicies: every policy says where it is written, one of them at most answers, and none does where a backend answers.
func judgePolicies(t *testing.T, s explain.Story, seen *seenStories) {
	t.Helper()
	var answering []explain.Policy
	for _, p := range s.Policies {
		seen.policies++
		if len(p.Origins) == 0 {
			t.Fatalf("%+v has no place in\n%s", p, s.Text())
		}
		if p.Outcome == explain.Answers && p.Kind != explain.PolicyErrorPage {
			answering = append(answering, p)
		}
	}
	d := s.Decision
	served := d.Status == 0 && (d.Backend != "" || len(d.Shares) > 0)
	redirected := d.Location != "" && len(s.Policies) > 0
	byRedirect := len(answering) == 1 && strings.HasPrefix(string(answering[0].Kind), "redirect-")
	if len(answering) > 1 || served && len(answering) > 0 || redirected && !byRedirect {
		t.Fatalf("%+v answer, in\n%s", answering, s.Text())
	}
	seen.answering += len(answering)
	for _, l := range s.Losers {
		if seen.losers++; l.Rule == "" {
			t.Fatalf("%s has lost by no rule", l.Origin)
		}
	}
	for _, e := range d.EndpointHealth {
		if e.Health != explain.HealthReady {
			seen.unhealthy++
		}
		if e.Serves != slices.Contains(d.Endpoints, e.Address) && d.Affinity == nil {
			t.Fatalf("%+v is not as the endpoints %v", e, d.Endpoints)
		}
	}
}

// TestFollowEnds: whatever is asked of whatever world, following ends, each request of it is where the answer before leads,
// and the end is as it is told.
func TestFollowEnds(t *testing.T) {
	ends, hops := map[explain.JourneyEnd]int{}, 0
	eachStory(t, func(t *testing.T, w storyWorld, r explain.Request) {
		j, err := explain.Follow(w.result.Gateway, w.result.Diagnostics, r)
		if err != nil {
			t.Fatal(err)
		}
		ends[j.End]++
		asked := map[string]bool{}
		for i, s := range j.Stories {
			if asked[s.Request] {
				t.Fatalf("%s is asked twice in\n%s", s.Request, j.Text())
			}
			asked[s.Request] = true
			if i == 0 {
				continue
			}
			hops++
			location, _, _ := strings.Cut(j.Stories[i-1].Decision.Location, "#")
			if _, url, _ := strings.Cut(s.Request, " "); location == "" || !strings.HasSuffix(url, location) {
				t.Fatalf("from %q to %q in\n%s", location, url, j.Text())
			}
		}
		last := j.Stories[len(j.Stories)-1].Decision
		if len(j.Stories) > 11 || (last.Location == "") != (j.End == explain.EndAnswered) {
			t.Fatalf("%s after %d requests:\n%s", j.End, len(j.Stories), j.Text())
		}
		var back explain.Journey
		if err := json.Unmarshal([]byte(mustJSON(t, j)), &back); err != nil || back.Text() != j.Text() {
			t.Fatalf("read back it is another journey, %v:\n%s\n%s", err, j.Text(), back.Text())
		}
	})
	if ends[explain.EndAnswered] < 100 || ends[explain.EndLeft] < 10 || hops < 100 {
		t.Errorf("the law looks at too little: %v, %d hops", ends, hops)
	}
}

// storyWorld is a translated world with what a law asks of its stories.
type storyWorld struct {
	result  translator.Result
	objects map[string]bool
	// secrets are what no story may hold.
	secrets []string
}

// eachStory runs a law on requests to random worlds.
func eachStory(t *testing.T, law func(*testing.T, storyWorld, explain.Request)) {
	t.Helper()
	for seed := range uint64(storyWorlds) {
		drawn := worlds.Draw(seed, worlds.DrawSettings(seed))
		c, err := casetest.Parse(t, fmt.Sprintf("seed %d", seed), drawn.Case("A world.", ""))
		if err != nil {
			t.Fatal(err)
		}
		objects, settings := c.World(t)
		objects = movedEndpoints(objects, rand.New(rand.NewPCG(seed, 3)))
		w := storyWorld{result: translator.Translate(objects, settings), objects: names(objects)}
		w.secrets = plant(objects, w.result.Gateway)
		for i, p := range drawn.Probes(storyRequests) {
			header := p.Header.Clone()
			header.Set("Proxy-Authorization", storyCanary)
			header.Add("Cookie", "x="+storyCanary)
			law(t, w, explain.Request{
				Method: p.Method, URL: p.URL, Header: header, From: p.From, HTTP2: p.HTTP2, SNI: p.SNI, TLSVersion: p.TLSVersion,
				ClientCertificate: p.Client.Pair().Certificate,
			})
			if t.Failed() {
				t.Fatalf("seed %d, request %d: %s", seed, i, p.Text())
			}
		}
	}
}

// plant gives all headers that annotations set for backends the canary as their value, and returns what is secret.
func plant(w source.World, g model.Gateway) []string {
	for _, table := range g.Tables {
		lists := [][]model.Route{table.Any, table.Default}
		for _, h := range slices.Concat(table.Exact, table.Wildcard) {
			lists = append(lists, h.Routes)
		}
		for _, r := range slices.Concat(lists...) {
			for i := range r.RequestHeaders {
				if r.RequestHeaders[i].Value != "" {
					r.RequestHeaders[i].Value = storyCanary
				}
			}
		}
	}
	out := []string{storyCanary}
	for _, s := range w.Secrets {
		for key, value := range s.Data {
			if key != "tls.crt" && key != "ca.crt" {
				out = append(out, strings.Split(strings.TrimSpace(string(value)), "\n")...)
			}
		}
	}
	for _, users := range g.Users {
		for _, u := range users.Entries {
			out = append(out, string([]byte(u.Hash)))
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return len(s) < 8 || strings.Contains(s, "PRIVATE KEY") })
}

// names are the objects of a world, as objectsIn names them.
func names(w source.World) map[string]bool {
	out := map[string]bool{}
	add := func(kind, namespace, name string) { out[kind+" "+namespace+"/"+name] = true }
	for _, o := range w.Ingresses {
		add("Ingress", o.Namespace, o.Name)
	}
	for _, o := range w.Services {
		add("Service", o.Namespace, o.Name)
	}
	for _, o := range w.EndpointSlices {
		add("EndpointSlice", o.Namespace, o.Name)
	}
	for _, o := range w.Endpoints {
		add("Endpoints", o.Namespace, o.Name)
	}
	for _, o := range w.Secrets {
		add("Secret", o.Namespace, o.Name)
	}
	for _, o := range w.ConfigMaps {
		add("ConfigMap", o.Namespace, o.Name)
	}
	for _, o := range w.Namespaces {
		add("Namespace", "", o.Name)
	}
	return out
}

// objectsIn are the objects of all origins in a tree of JSON, but for flags.
func objectsIn(tree any) []string {
	var out []string
	switch node := tree.(type) {
	case []any:
		for _, child := range node {
			out = append(out, objectsIn(child)...)
		}
	case map[string]any:
		kind, isOrigin := node["kind"].(string)
		if name, named := node["name"].(string); isOrigin && named && kind != "flag" {
			namespace, _ := node["namespace"].(string)
			out = append(out, kind+" "+namespace+"/"+name)
		}
		for _, child := range node {
			out = append(out, objectsIn(child)...)
		}
	}
	return out
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
