package casetest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestTextIsParsed: what is written of a probe and an answer reads back as the same.
func TestTextIsParsed(t *testing.T) {
	text := "GET http://node/k8s/x?y=1  Accept: a, b  X-Empty:   X_y: 1  X_y: 2  from 127.0.0.5  h2\n"
	probes, err := ParseProbes("p", []byte(text+"  -> 404\nWS https://node/  Cookie: a=b\n  -> none\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := probes[0].Text(); got+"\n" != text {
		t.Errorf("%q is written as %q", text, got)
	}
	if got := probes[1].Text(); got != "WS https://node/  Cookie: a=b" {
		t.Errorf("the WebSocket is written as %q", got)
	}
	for _, a := range []Answer{
		{},
		{Status: 302, Response: http.Header{"Location": {"https://node/x"}, "Date": {"now"}}, Certificate: "node"},
		{Status: 200, Response: http.Header{"Set-Cookie": {"a=b", "c=d"}}, Seen: &Seen{
			Backend: "ns/svc/80", Path: "/x?y", Header: http.Header{"Host": {"node"}, "X-Empty": {""}}, TLS: true, HTTP2: true,
		}},
	} {
		probes, err := ParseProbes("p", []byte("GET http://node/\n"+a.Want().Text()))
		if err != nil {
			t.Fatalf("%s: %v", a.Want().Text(), err)
		}
		if differences := probes[0].Want.Differences(a); len(differences) > 0 {
			t.Errorf("%sreads as %q", a.Want().Text(), differences)
		}
	}
}

// TestDisagreements: answers that differ in anything disagree, but not in what proxies say of themselves.
func TestDisagreements(t *testing.T) {
	answer := func(change func(*Answer)) Answer {
		a := Answer{
			Status: 200, Certificate: "node", Response: http.Header{"X-A": {"1"}},
			Seen: &Seen{Backend: "ns/svc/80", Path: "/", Header: http.Header{"X-B": {"1"}}},
		}
		change(&a)
		return a
	}
	same := answer(func(*Answer) {})
	for _, alike := range []func(*Answer){
		func(*Answer) {},
		func(a *Answer) { a.Response.Set("Date", "now") },
		func(a *Answer) { a.Seen.Header.Set("X-Request-Id", "1") },
	} {
		if got := Disagreements(same, answer(alike)); len(got) > 0 {
			t.Errorf("answers that are alike disagree: %q", got)
		}
	}
	for point, change := range map[string]func(*Answer){
		"status":                    func(a *Answer) { a.Status = 201 },
		"backend":                   func(a *Answer) { a.Seen = nil },
		"path at the backend":       func(a *Answer) { a.Seen.Path = "/y" },
		"header X-B at the backend": func(a *Answer) { a.Seen.Header.Del("X-B") },
		"header X-C at the backend": func(a *Answer) { a.Seen.Header.Set("X-C", "1") },
		"response header X-A":       func(a *Answer) { a.Response.Set("X-A", "2") },
		"response header X-D":       func(a *Answer) { a.Response.Set("X-D", "1") },
		"response header Tls":       func(a *Answer) { a.Certificate = "" },
	} {
		other := answer(change)
		for _, got := range [][]string{Disagreements(same, other), Disagreements(other, same)} {
			if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, point) }) {
				t.Errorf("%s: %q", point, got)
			}
		}
	}
}
