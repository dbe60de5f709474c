package explain_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// redirecting is the gateway of the other tests, with hosts that redirect to others.
func redirecting(t *testing.T) model.Gateway {
	g := gateway(t)
	for from, other := range map[string]string{"b.test": "c.test", "c.test": "b.test", "d.test": "elsewhere.example", "e.test": "e.test:9443", "f.test": "x.test"} {
		r := route(model.Prefix("/"), to("ns/web/80"), from)
		r.HostRedirect = &model.HostRedirect{Host: other, Origin: at(from, "redirect")}
		g.Tables[1].Exact = append(g.Tables[1].Exact, model.HostRoutes{Host: host(t, from), Routes: []model.Route{r}})
	}
	more := route(model.Prefix("/"), to("ns/web/80"), "more")
	more.URLRedirect = &model.URLRedirect{
		Pattern: "^(.*)$", With: model.Substitution{{Group: 1}, {Text: "x"}}, Origin: at("more", "redirect"),
	}
	g.Tables[0].Exact = append(g.Tables[0].Exact, model.HostRoutes{Host: host(t, "more.test"), Routes: []model.Route{more}})
	return g
}

func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		request string
		end     explain.JourneyEnd
		reason  string
		urls    []string
	}{
		{"GET http://node/named", explain.EndAnswered, "no redirect", []string{"http://node/named"}},
		{"GET http://node:8080/nothing", explain.EndAnswered, "no redirect", []string{"http://node:8080/nothing"}},
		{"GET http://node/k8s%2fx?y", explain.EndAnswered, "no redirect", []string{"http://node/k8s%2fx?y", "http://node/k8s/x?y"}},
		{"GET http://node/safe/x?y=1", explain.EndAnswered, "no redirect", []string{"http://node/safe/x?y=1", "https://node/safe/x?y=1"}},
		{"GET https://node:8443/k8s", explain.EndAnswered, "no redirect", []string{"https://node:8443/k8s", "https://node:8443/k8s/"}},
		{"GET https://b.test/x", explain.EndLoop, "for ever", []string{"https://b.test/x", "https://c.test/x"}},
		{"GET https://d.test/x", explain.EndLeft, "https://elsewhere.example is not this gateway's", []string{"https://d.test/x"}},
		{"GET https://e.test/x", explain.EndLeft, "https://e.test:9443 is not this gateway's", []string{"https://e.test/x"}},
		// A wildcard is a host of the gateway's too.
		{"GET https://f.test/x", explain.EndAnswered, "no redirect", []string{"https://f.test/x", "https://x.test/x"}},
		{"GET http://node/%5c", explain.EndBroken, "no client can follow", []string{"http://node/%5c"}},
		{"GET ftp://node/", "", "", nil},
	} {
		method, url, _ := strings.Cut(tt.request, " ")
		j, err := explain.Follow(redirecting(t), nil, explain.Request{Method: method, URL: url})
		if tt.end == "" {
			if err == nil {
				t.Errorf("%s: no error", tt.request)
			}
			continue
		}
		var urls []string
		for _, s := range j.Stories {
			urls = append(urls, strings.TrimPrefix(s.Request, method+" "))
		}
		if err != nil || j.End != tt.end || !strings.Contains(j.Reason, tt.reason) || !slices.Equal(urls, tt.urls) {
			t.Errorf("%s: %s %q %q, %v; want %s %q %q\n%s", tt.request, j.End, j.Reason, urls, err, tt.end, tt.reason, tt.urls, j.Text())
		}
		if !strings.Contains(j.Text(), fmt.Sprintf("answer %d", len(urls))) || !strings.Contains(strings.Join(strings.Fields(j.Text()), " "), j.Reason) {
			t.Errorf("%s: the text lacks an answer or the end:\n%s", tt.request, j.Text())
		}
	}
}

func TestFollowEndsWhereAURLGrows(t *testing.T) {
	j, err := explain.Follow(redirecting(t), nil, explain.Request{URL: "http://more.test/"})
	if err != nil || j.End != explain.EndTooMany || len(j.Stories) != 11 {
		t.Errorf("%s after %d requests, %v", j.End, len(j.Stories), err)
	}
}

// TestFollowSendsOn: what a client sends to another host, and by which method.
func TestFollowSendsOn(t *testing.T) {
	sent := http.Header{"Authorization": {"a"}, "Cookie": {"b"}, "X": {"y"}, "Respond": {""}}
	j, err := explain.Follow(redirecting(t), nil, explain.Request{Method: "POST", URL: "https://f.test/wild", Header: sent, SNI: "f.test"})
	if err != nil || len(j.Stories) != 2 {
		t.Fatalf("%+v, %v", j, err)
	}
	last := j.Stories[1]
	if !strings.HasPrefix(last.Request, "POST ") || last.Decision.Headers.Get("X") != "y" {
		t.Errorf("307 changes the request: %s %v", last.Request, last.Decision.Headers)
	}
	if h := last.Decision.Headers; h.Get("Authorization") != "" || h.Get("Cookie") != "" || sent.Get("Cookie") != "b" {
		t.Errorf("another host is sent %v", h)
	}
	if last.Certificate.Host != "*.test" {
		t.Errorf("the handshake names %+v", last.Certificate)
	}
	j, err = explain.Follow(redirecting(t), nil, explain.Request{URL: "http://node/safe", Header: sent})
	if err != nil || j.Stories[1].Decision.Headers.Get("Cookie") != "b" {
		t.Errorf("the same host is not sent the cookie: %v, %v", j.Stories[1].Decision.Headers, err)
	}
}
