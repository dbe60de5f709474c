package explain_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// shop is a gateway with one route that asks for a lot.
func shop(t *testing.T) model.Gateway {
	g := gateway(t)
	r := route(model.Prefix("/shop"), &model.Forward{
		Targets: []model.Target{{Backend: "ns/web/80", Weight: 1, Because: model.TargetOrigins{Protocol: at("shop", "protocol")}}},
		Strip:   &model.Strip{Prefix: "/shop", Origin: at("shop", "strip")},
	}, "shop")
	r.Access = &model.Access{Sources: &model.Sources{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/30")}, Origin: at("shop", "sources")}}
	r.RequestHeaders = []model.HeaderChange{{Name: "X-Api-Key", Value: "canary", Origin: at("shop", "key")}, {Name: "X-Gone", Origin: at("shop", "gone")}}
	r.ResponseHeaders = []model.HeaderChange{{Name: "X-Frame-Options", Value: "DENY", Origin: at("shop", "frame")}}
	r.Rewrite = &model.AddPrefix{Prefix: "/v1", Origin: at("shop", "add")}
	r.RateLimit = &model.RateLimit{By: model.RateByClient{}, Rates: []model.Rate{{Period: time.Second, Average: 1, Burst: 2}}, Origin: at("shop", "rate")}
	r.ErrorPages = []model.ErrorPage{{Statuses: []model.StatusRange{{From: 403, To: 403}}, Backend: "ns/web/80", Path: "/sorry", Origin: at("shop", "page")}}
	r.HSTS = &model.HSTS{MaxAge: 1, Origin: at("shop", "hsts")}
	r.Losers, r.LostBy = []diag.Origin{at("young", "spec")}, []model.ConflictRule{model.LostByAge}
	g.Tables[1].Any = append([]model.Route{r}, g.Tables[1].Any...)
	return g
}

// outcomes are the policies of a story as KIND:OUTCOME@FIELD.
func outcomes(s explain.Story) []string {
	var out []string
	for _, p := range s.Policies {
		out = append(out, fmt.Sprintf("%s:%s@%s", p.Kind, p.Outcome, p.Origins[0].Field))
	}
	return out
}

func TestPolicies(t *testing.T) {
	for from, want := range map[string]string{
		"127.0.0.1": "allowed-sources:passes@sources redirect-slash:passes@strip rate-limit:applies@rate strip-prefix:applies@strip " +
			"request-header:applies@key request-header:applies@gone rewrite:applies@add backend-protocol:applies@protocol " +
			"response-header:applies@frame hsts:applies@hsts error-page:applies@page",
		"10.0.0.1": "allowed-sources:answers@sources redirect-slash:unreached@strip rate-limit:unreached@rate strip-prefix:unreached@strip " +
			"request-header:unreached@key request-header:unreached@gone rewrite:unreached@add backend-protocol:unreached@protocol " +
			"response-header:applies@frame hsts:applies@hsts error-page:answers@page",
	} {
		story, err := explain.Explain(shop(t), nil, explain.Request{URL: "https://node/shop/x", From: netip.MustParseAddr(from)})
		if err != nil || strings.Join(outcomes(story), " ") != want {
			t.Errorf("from %s: %q, %v; want %q\n%s", from, outcomes(story), err, want, story.Text())
		}
	}
}

// TestCredentialsAreNotShown: neither those that an annotation gives the backend, nor those of the client.
func TestCredentialsAreNotShown(t *testing.T) {
	sent := http.Header{"Authorization": {"canary"}, "Cookie": {"canary"}, "A": {"b"}}
	story, err := explain.Explain(shop(t), nil, explain.Request{URL: "https://node/shop/x", Header: sent})
	if err != nil {
		t.Fatal(err)
	}
	if got := story.Decision.Headers; got.Get("X-Api-Key") != "canary" || got.Get("Cookie") != "canary" {
		t.Errorf("the backend sees %v", got)
	}
	text, err := json.Marshal(story)
	if err != nil || strings.Contains(string(text)+story.Text(), "canary") || !strings.Contains(string(text), `"X-Api-Key":["[redacted]"]`) || !strings.Contains(string(text), `"A":["b"]`) {
		t.Errorf("%v\n%s\n%s", err, text, story.Text())
	}
}

func TestLosersAreToldWhy(t *testing.T) {
	story, err := explain.Explain(shop(t), nil, explain.Request{URL: "https://node/shop/x"})
	if err != nil || len(story.Losers) != 1 || story.Losers[0].Rule != model.LostByAge || story.Losers[0].Name != "young" {
		t.Fatalf("%+v, %v", story.Losers, err)
	}
	const want = "beats Ingress ns/young spec (a.yaml:7): it asks for the same host and path, and its object is younger"
	if !strings.Contains(strings.Join(strings.Fields(story.Text()), " "), want) {
		t.Errorf("%q is not in\n%s", want, story.Text())
	}
}

// TestWhyLater: the rule by which a route that would match too comes later.
func TestWhyLater(t *testing.T) {
	g := gateway(t)
	g.Tables[0].Exact[0].Routes = []model.Route{
		{Path: model.PathMatch{Kind: model.PathExact, Value: "/a"}, Action: to("ns/web/80"), Weight: 9},
		{Path: model.Prefix("/a"), Action: to("ns/web/80"), Weight: 9},
		{Path: model.Prefix("/"), Action: to("ns/web/80"), Weight: 9},
		{Path: model.PathMatch{Kind: model.PathStringPrefix, Value: "/a"}, Action: to("ns/web/80"), Weight: 1},
	}
	all := model.Route{Path: model.Prefix("/"), Action: to("ns/web/80")}
	g.Tables[0].Wildcard[0].Routes, g.Tables[0].Any, g.Tables[0].Default = []model.Route{all}, []model.Route{all}, []model.Route{all}
	story, err := explain.Explain(g, nil, explain.Request{URL: "http://a.test/a"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range story.Candidates[1:] {
		got = append(got, strings.TrimPrefix(c.Reason, "would match too, but "))
	}
	want := []string{
		"an exact path comes first", "an exact path comes first", "its weight is lower: 1 to 9", "rules of *.test come after those of a.test",
		"rules without a host come after those of a.test", "default backends come after all rules",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	story, err = explain.Explain(g, nil, explain.Request{URL: "http://a.test/a/b"})
	if err != nil || story.Candidates[2].Reason != "would match too, but the longer path comes first" {
		t.Errorf("%+v, %v", story.Candidates, err)
	}
}

func TestEndpointHealth(t *testing.T) {
	serving := netip.MustParseAddrPort("10.0.0.1:80")
	known := func(address string, ready, serving, terminating bool) model.Endpoint {
		o := diag.Origin{Cluster: "east", Kind: "EndpointSlice", Namespace: "ns", Name: "web-1", Field: "endpoints[0]"}
		return model.Endpoint{Address: netip.MustParseAddrPort(address), Ready: ready, Serving: serving, Terminating: terminating, Origin: o}
	}
	all := []model.Endpoint{
		known("10.0.0.1:80", true, true, false), known("10.0.0.2:80", false, false, false),
		known("10.0.0.3:80", false, true, true), known("10.0.0.4:80", false, false, true),
	}
	for name, tt := range map[string]struct {
		endpoints []netip.AddrPort
		known     []model.Endpoint
		reason    string
		health    string
	}{
		"some":    {[]netip.AddrPort{serving}, all, "", "ready/true not-ready/false draining/false terminating/false"},
		"none":    {nil, nil, "the backend has no endpoints", ""},
		"unready": {nil, all[1:2], "the backend has no ready endpoints: of 1 endpoint, 1 not-ready", "not-ready/false"},
		"mapped":  {[]netip.AddrPort{serving}, nil, "", "unknown/true"},
	} {
		g := gateway(t)
		for i := range g.Assignments {
			g.Assignments[i].Endpoints, g.Assignments[i].Known = tt.endpoints, tt.known
		}
		story, err := explain.Explain(g, nil, explain.Request{URL: "http://node/named"})
		var health []string
		for _, e := range story.Decision.EndpointHealth {
			health = append(health, fmt.Sprintf("%s/%v", e.Health, e.Serves))
			if tt.known != nil && e.Cluster != "east" {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if tt.known != nil != strings.Contains(story.Text(), "  endpoints ") || name == "some" && !strings.Contains(story.Text(), "10.0.0.2:80 is not-ready and gets no requests, in cluster east") {
			t.Errorf("%s: the text does not tell of the endpoints:\n%s", name, story.Text())
		}
		if err != nil || story.Decision.Reason != tt.reason || strings.Join(health, " ") != tt.health {
			t.Errorf("%s: %q %q, %v; want %q %q", name, story.Decision.Reason, health, err, tt.reason, tt.health)
		}
	}
	bad := diag.New(diag.CodeEndpointAddress, diag.Origin{Cluster: "east", Kind: "EndpointSlice", Namespace: "ns", Name: "web-1", Field: "endpoints[7]"}, "m", "e", "")
	g := gateway(t)
	for i := range g.Assignments {
		g.Assignments[i].Known = all
	}
	story, err := explain.Explain(g, []diag.D{bad}, explain.Request{URL: "http://node/named"})
	if err != nil || len(story.Diagnostics) != 1 {
		t.Errorf("what is wrong with the slice is not told: %+v, %v", story.Diagnostics, err)
	}
}

// TestCertificateIsTold: what it is, until when, and what clients will say of it.
func TestCertificateIsTold(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	served := newSigner(t, &x509.Certificate{
		DNSNames: []string{"a.test"}, NotBefore: now, NotAfter: now.Add(time.Hour), Subject: pkix.Name{Organization: []string{"x"}},
	}, nil)
	missing := diag.New(diag.CodeNoSecret, at("exact", "spec.tls[0]"), "there is no Secret", "e", "")
	for _, tt := range []struct {
		url  string
		at   time.Time
		note string
		own  bool
	}{
		{"https://a.test/only", now, "", true},
		{"https://a.test/only", time.Time{}, "", true},
		{"https://a.test/only", now.Add(2 * time.Hour), "the certificate has expired, at 2026-01-02 04:04 UTC", true},
		{"https://a.test/only", now.Add(-time.Hour), "the certificate is not valid before 2026-01-02 03:04 UTC", true},
		{"https://c.d.e/", now, "the certificate is not for c.d.e", false},
		{"https://a.test/only", now, "", false},
	} {
		g := gateway(t)
		g.Certificates[0].Chain, g.Default.Chain = served.pem, served.pem
		if !tt.own {
			g.Certificates = nil
		}
		story, err := explain.Explain(g, []diag.D{missing}, explain.Request{URL: tt.url, At: tt.at})
		if err != nil {
			t.Fatal(err)
		}
		c := story.Certificate
		if !c.NotBefore.Equal(now) || !c.NotAfter.Equal(now.Add(time.Hour)) || !slices.Equal(c.Names, []string{"a.test"}) || c.Issuer != c.Name {
			t.Errorf("%s: %+v", tt.url, c)
		}
		if text := strings.Join(strings.Fields(story.Text()), " "); !strings.Contains(text, "valid until 2026-01-02 04:04 UTC") ||
			!strings.Contains(text, tt.note) || tt.note == "" && strings.Contains(text, "the certificate") {
			t.Errorf("%s at %s: no %q in\n%s", tt.url, tt.at, tt.note, story.Text())
		}
		// Why a default certificate is served is told, and only where the route is of the same object.
		if told := len(story.Diagnostics) == 1; told != (!tt.own && strings.Contains(tt.url, "a.test")) {
			t.Errorf("%s: diagnostics %+v", tt.url, story.Diagnostics)
		}
	}
}

func TestPortOfNoEntryIsNoted(t *testing.T) {
	for url, noted := range map[string]bool{"http://node/x": false, "http://node:8080/x": false, "http://node:9/x": true, "https://node:8080/x": true} {
		story, err := explain.Explain(gateway(t), nil, explain.Request{URL: url})
		if err != nil || strings.Contains(story.Text(), "is not that of the entry") != noted {
			t.Errorf("%s: %v\n%s", url, err, story.Text())
		}
	}
}
