package explain_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
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

func host(t *testing.T, s string) model.Host {
	t.Helper()
	h, err := model.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func at(name, field string) diag.Origin {
	return diag.Origin{Kind: "Ingress", Namespace: "ns", Name: name, Field: field, File: "a.yaml", Line: 7}
}

func route(path model.PathMatch, action model.Action, name string) model.Route {
	return model.Route{Path: path, Action: action, Origins: model.Origins{at(name, "spec.rules[0]")}}
}

func target(backend string) []model.Target { return []model.Target{{Backend: backend, Weight: 1}} }

func to(backend string) *model.Forward { return &model.Forward{Targets: target(backend)} }

// gateway has a route of every kind.
func gateway(t *testing.T) model.Gateway {
	k8s := route(model.Prefix("/k8s"), &model.Forward{Targets: target("ns/dash/443/https"), Strip: &model.Strip{Prefix: "/k8s"}}, "dash")
	safe := route(model.Prefix("/safe"), to("ns/web/80"), "safe")
	forever := route(model.Prefix("/forever"), to("ns/web/80"), "forever")
	exact := []model.HostRoutes{{Host: host(t, "a.test"), Routes: []model.Route{route(model.Prefix("/only"), to("ns/exact/80"), "exact")}}}
	wildcard := []model.HostRoutes{{Host: host(t, "*.test"), Routes: []model.Route{route(model.Prefix("/wild"), to("ns/wild/80"), "wild")}}}
	anyHost := []model.Route{
		route(model.PathMatch{Kind: model.PathExact, Value: "/wild"}, to("ns/web/80"), "hostless"),
		k8s, safe, forever,
		route(model.Prefix("/closed"), &model.Closed{Reason: "because", Code: diag.CodeAccessClosed, Origin: at("shut", "x")}, "shut"),
		route(model.Prefix("/empty"), to("ns/empty/80"), "empty"),
		route(model.Prefix("/named"), &model.Forward{Targets: []model.Target{{Backend: "ns/web/80", Host: "inner.test", Weight: 1}}, ReplacePath: "/r"}, "named"),
	}
	plain := model.Table{Entry: model.Entry{Name: "http", Address: netip.MustParseAddrPort("127.0.0.1:8080"), PublicPort: 8080}, Exact: exact, Wildcard: wildcard}
	plain.Any = append(plain.Any, anyHost...)
	plain.Any[2].HTTPSRedirect = &model.HTTPSRedirect{Origin: at("safe", "redirect")}
	plain.Any[3].HTTPSRedirect = &model.HTTPSRedirect{Status: model.RedirectMoved, Origin: at("forever", "redirect")}
	plain.Default = []model.Route{route(model.Prefix("/d"), to("ns/default/80"), "default")}
	secure := plain
	secure.Entry = model.Entry{Name: "https", TLS: true, Address: netip.MustParseAddrPort("127.0.0.1:8443"), PublicPort: 8443}
	secure.Any = anyHost
	g := model.Gateway{
		Edge: model.Edge{
			HTTPSPublicPort: 443, SlashRedirect: true,
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.5/32")},
		},
		Tables:       []model.Table{plain, secure},
		Certificates: []model.Certificate{{Host: host(t, "a.test")}, {Host: host(t, "*.test")}},
		Default:      &model.Certificate{},
	}
	for _, name := range []string{"ns/dash/443", "ns/default/80", "ns/empty/80", "ns/exact/80", "ns/web/80", "ns/wild/80"} {
		b := model.Backend{Name: name, Assignment: name, Protocol: model.ProtocolHTTP}
		if name == "ns/dash/443" {
			b.Name, b.Protocol, b.TLS = name+"/https", model.ProtocolHTTPS, &model.UpstreamTLS{Names: []string{"dash.ns.svc"}}
		}
		a := model.Assignment{Name: name}
		if name != "ns/empty/80" {
			a.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}
		}
		g.Backends, g.Assignments = append(g.Backends, b), append(g.Assignments, a)
	}
	return g
}

// TestExplainShares: a route with several backends tells each of its answers, and its part.
func TestExplainShares(t *testing.T) {
	g := gateway(t)
	g.Tables[0].Any = append(g.Tables[0].Any, route(model.Prefix("/shared"), &model.Forward{
		Targets: []model.Target{
			{Backend: "ns/web/80", Host: "web.ns.svc", Weight: 2},
			{Backend: "ns/empty/80", Weight: 1},
			{Backend: model.ClosedBackend, Weight: 1, Closed: &model.Closed{Reason: "there is no Service ns/gone", Origin: at("gone", "x")}},
		},
	}, "shared"))
	story, err := explain.Explain(g, nil, explain.Request{URL: "http://node/shared/x"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range story.Decision.Shares {
		got = append(got, fmt.Sprintf("%d/%d %d %s %s %s", s.Weight, s.Of, s.Decision.Status, s.Decision.Backend, s.Decision.Host, s.Decision.Path))
	}
	want := []string{"2/4 0 ns/web/80 web.ns.svc /shared/x", "1/4 503 ns/empty/80 node /shared/x", "1/4 503   "}
	if !slices.Equal(got, want) || story.Decision.Backend != "" {
		t.Errorf("the shares are %q of %+v, want %q", got, story.Decision, want)
	}
	for _, line := range []string{
		"answer      by one of 3, by weight", "2 of 4      ns/web/80 at 10.0.0.1:80  Host: web.ns.svc",
		"1 of 4      ns/empty/80: 503 (the backend has no endpoints)", "1 of 4      503 (there is no Service ns/gone)",
		"it sees     /shared/x", "Ingress ns/gone x",
	} {
		if !strings.Contains(story.Text(), line) {
			t.Errorf("there is no line %q in\n%s", line, story.Text())
		}
	}
}

func TestExplainDecides(t *testing.T) {
	tests := []struct {
		line   string // METHOD URL, then headers K:V
		from   string
		status int
		// goes is the Location or the backend with the path it sees.
		goes string
	}{
		{"GET http://node/k8s", "", 302, "http://node/k8s/"},
		{"HEAD https://node:8443/k8s?x=1", "", 302, "https://node:8443/k8s/?x=1"},
		{"POST http://node/k8s?x=1", "", 0, "ns/dash/443/https /?x=1"},
		{"GET http://node/k8s/x", "", 0, "ns/dash/443/https /x"},
		{"GET http://node/k8sx", "", 404, ""},
		{"GET http://node/k8s../x", "", 404, ""},
		{"GET http://node/k8s%2fx?y", "", 307, "/k8s/x?y"},
		{"GET http://node/k8s/../safe", "", 302, "https://node/safe"},
		{"GET http://node:8080/safe/x?y=1", "", 302, "https://node/safe/x?y=1"},
		{"PUT http://node/safe", "", 307, "https://node/safe"},
		{"GET http://node/forever", "", 301, "https://node/forever"},
		{"POST http://node/forever", "", 308, "https://node/forever"},
		{"GET http://[::1]:8080/safe", "", 302, "https://[::1]/safe"},
		{"GET https://node/safe", "", 0, "ns/web/80 /safe"},
		{"GET http://node/safe X-Forwarded-Proto:https", "", 302, "https://node/safe"},
		{"GET http://node/safe X-Forwarded-Proto:HTTPS", "127.0.0.5", 0, "ns/web/80 /safe"},
		{"GET http://node/k8s X-Forwarded-Proto:https", "127.0.0.5", 302, "https://node/k8s/"},
		{"GET http://node/closed/x", "", 503, ""},
		{"GET http://node/empty", "", 503, "ns/empty/80 /empty"},
		{"GET http://node/named/x?y=1", "", 0, "ns/web/80 /r?y=1"},
		{"GET http://node/ A_b:c", "", 400, ""},
		{"GET http://node/a%00", "", 400, ""},
		{"GET http://a.test/only", "", 0, "ns/exact/80 /only"},
		{"GET http://A.TEST.:80/only", "", 0, "ns/exact/80 /only"},
		{"GET http://b.test/only", "", 404, ""},
		{"GET http://a.test/wild", "", 0, "ns/wild/80 /wild"},
		{"GET http://b.test/wild", "", 0, "ns/wild/80 /wild"},
		{"GET http://c.b.test/wild", "", 0, "ns/web/80 /wild"},
		{"GET http://test/wild", "", 0, "ns/web/80 /wild"},
		{"GET http://a.test/d/x", "", 0, "ns/default/80 /d/x"},
	}
	for _, tt := range tests {
		r := explain.Request{Header: http.Header{}}
		words := strings.Fields(tt.line)
		r.Method, r.URL = words[0], words[1]
		for _, h := range words[2:] {
			k, v, _ := strings.Cut(h, ":")
			r.Header.Set(k, v)
		}
		if tt.from != "" {
			r.From = netip.MustParseAddr(tt.from)
		}
		story, err := explain.Explain(gateway(t), nil, r)
		if err != nil {
			t.Fatalf("%s: %v", tt.line, err)
		}
		d := story.Decision
		goes := strings.TrimSpace(d.Backend + " " + d.Path)
		if d.Location != "" {
			goes = d.Location
		}
		if d.Status != tt.status || goes != tt.goes {
			t.Errorf("%s: %d %q, want %d %q\n%s", tt.line, d.Status, goes, tt.status, tt.goes, story.Text())
		}
		if strings.Count(story.Text(), "\n") > 24 {
			t.Errorf("%s: more than a screen:\n%s", tt.line, story.Text())
		}
		if _, err := json.Marshal(story); err != nil {
			t.Errorf("%s: %v", tt.line, err)
		}
	}
}

func TestExplainPortOfRedirect(t *testing.T) {
	g := gateway(t)
	g.Edge.HTTPSPublicPort = 8443
	story, err := explain.Explain(g, nil, explain.Request{URL: "http://node:8080/safe"})
	if err != nil || story.Decision.Location != "https://node:8443/safe" {
		t.Errorf("Location %q, %v; want the HTTPS entry's port in place of the request's", story.Decision.Location, err)
	}
}

func TestExplainForwardedHeaders(t *testing.T) {
	const absent = "\x00"
	tests := []struct {
		name, url, from string
		sent, want      map[string]string
	}{
		{
			"untrusted", "http://node:8080/k8s/x", "",
			map[string]string{"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Prefix": "/evil", "X-Original-Url": "/admin",
				"X-Envoy-Original-Path": "/x", "Forwarded": "for=x", "True-Client-Ip": "x", "Connection": "close", "A": "b"},
			map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "X-Forwarded-Proto": "http",
				"X-Forwarded-Host": "node:8080", "X-Forwarded-Port": "8080", "X-Forwarded-Prefix": "/k8s", "A": "b",
				"X-Original-Url": absent, "X-Envoy-Original-Path": absent, "Forwarded": absent, "True-Client-Ip": absent, "Connection": absent},
		},
		{
			"trusted", "http://node/wild", "127.0.0.5",
			map[string]string{"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/p", "X-Forwarded-Client-Cert": "x", "X-Envoy-Foo": "x"},
			map[string]string{"X-Forwarded-For": "1.2.3.4, 127.0.0.5", "X-Real-Ip": "127.0.0.5", "X-Forwarded-Proto": "https",
				"X-Forwarded-Host": "node", "X-Forwarded-Port": "8080", "X-Forwarded-Prefix": "/p", "X-Forwarded-Client-Cert": absent, "X-Envoy-Foo": absent},
		},
		{
			"over TLS", "https://node/wild", "", nil,
			map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443", "X-Forwarded-Prefix": absent},
		},
	}
	for _, tt := range tests {
		r := explain.Request{URL: tt.url, Header: http.Header{}}
		if tt.from != "" {
			r.From = netip.MustParseAddr(tt.from)
		}
		for k, v := range tt.sent {
			r.Header.Set(k, v)
		}
		story, err := explain.Explain(gateway(t), nil, r)
		if err != nil {
			t.Fatal(err)
		}
		for k, want := range tt.want {
			got := absent
			if vs := story.Decision.Headers.Values(k); len(vs) > 0 {
				got = strings.Join(vs, "|")
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, k, got, want)
			}
		}
	}
}

func TestExplainCertificate(t *testing.T) {
	for url, want := range map[string]string{
		"https://a.test/":         "a.test",
		"https://B.test:8443/":    "*.test",
		"https://c.b.test/":       "",
		"https://node/":           "",
		"https://127.0.0.1:8443/": "",
	} {
		story, err := explain.Explain(gateway(t), nil, explain.Request{URL: url})
		if err != nil || story.Certificate == nil || story.Certificate.Host != want {
			t.Errorf("%s: certificate %+v, %v; want that of %q", url, story.Certificate, err, want)
		}
	}
	g := gateway(t)
	g.Default = nil
	story, err := explain.Explain(g, nil, explain.Request{URL: "https://node/"})
	if err != nil || !strings.Contains(story.Decision.Reason, "handshake fails") {
		t.Errorf("without a certificate: %+v, %v", story.Decision, err)
	}
}

func TestExplainTellsOfDiagnosticsOnly(t *testing.T) {
	mine := diag.New(diag.CodeNotYet, at("dash", "spec"), "m", "e", "")
	sibling := diag.New(diag.CodeNotYet, at("dash", "spec.rules[1]"), "m", "e", "")
	other := diag.New(diag.CodeNotYet, at("safe", "spec"), "m", "e", "")
	seen := diag.New(diag.CodeConflict, at("loser", "spec"), "m", "e", "").With(at("dash", "spec.rules[0]"))
	story, err := explain.Explain(gateway(t), []diag.D{mine, sibling, other, seen}, explain.Request{URL: "http://node/k8s/"})
	if err != nil {
		t.Fatal(err)
	}
	if len(story.Diagnostics) != 2 || story.Diagnostics[0].Origin != mine.Origin || story.Diagnostics[1].Origin != seen.Origin {
		t.Errorf("diagnostics %v, want those that touch the route", story.Diagnostics)
	}
}

// TestCausesComeFirst: of many diagnostics the text has the errors, each with what to do; the whole text has all of them.
func TestCausesComeFirst(t *testing.T) {
	var ds []diag.D
	for i := range 8 {
		ds = append(ds, diag.New(diag.CodeNotYet, at("dash", "spec"), fmt.Sprintf("w%d", i), "none", ""))
	}
	cause := diag.New(diag.CodeNoService, at("dash", "spec.rules[0]"), "there is no Service", "it is closed", "make one")
	story, err := explain.Explain(gateway(t), append(ds, cause), explain.Request{URL: "http://node/k8s/"})
	if err != nil {
		t.Fatal(err)
	}
	if got := story.Diagnostics; len(got) != 9 || got[0].Code != cause.Code || got[1].Message != "w0" || got[8].Message != "w7" {
		t.Errorf("%v, want the error before the warnings in their order", got)
	}
	text, whole := strings.Join(strings.Fields(story.Text()), " "), story.WholeText()
	if !strings.Contains(text, "there is no Service; it is closed; fix: make one") || strings.Contains(text, "w4") || !strings.Contains(text, "and 4 more") {
		t.Errorf("the text lacks the cause, or what to do:\n%s", story.Text())
	}
	if !strings.Contains(whole, "w7") || strings.Contains(whole, "more") {
		t.Errorf("the whole text lacks diagnostics:\n%s", whole)
	}
}

func TestExplainRefusesWhatIsNoURL(t *testing.T) {
	for _, url := range []string{"", "node/x", "ftp://node/", "http://", "http://u@node/", "http://no de/"} {
		if _, err := explain.Explain(gateway(t), nil, explain.Request{URL: url}); err == nil {
			t.Errorf("%q: no error", url)
		}
	}
}

func TestTextTellsOfTLSToTheBackend(t *testing.T) {
	for want, tls := range map[string]model.UpstreamTLS{
		"over TLS, verified for a.svc or b.svc, at": {Names: []string{"a.svc", "b.svc"}, MinVersion: model.TLS12},
		"over TLS 1.3 with the client certificate of Secret ns/gw, verified for a.svc by the CAs of secret/ns/ca, at": {
			Names: []string{"a.svc"}, MinVersion: model.TLS13, Client: "ns/gw", Trust: "secret/ns/ca",
		},
		"over TLS, not verified, at": {Names: []string{"a.svc"}, SkipVerify: true},
	} {
		g := gateway(t)
		for i := range g.Backends {
			g.Backends[i].TLS = &tls
		}
		story, err := explain.Explain(g, nil, explain.Request{URL: "http://node/k8s/x"})
		if err != nil || !strings.Contains(strings.Join(strings.Fields(story.Text()), " "), want) {
			t.Errorf("%q is not in the text, %v:\n%s", want, err, story.Text())
		}
	}
}

func TestTextFitsAScreen(t *testing.T) {
	g := gateway(t)
	for i := range 100 {
		lost := route(model.Prefix(fmt.Sprintf("/lost%d", i)), to("ns/web/80"), "lost")
		g.Tables[0].Any = append([]model.Route{lost}, g.Tables[0].Any...)
		g.Tables[0].Default = append(g.Tables[0].Default, route(model.Prefix("/"), to("ns/web/80"), "late"))
	}
	story, err := explain.Explain(g, nil, explain.Request{URL: "http://node/k8s/x"})
	if err != nil {
		t.Fatal(err)
	}
	text := story.Text()
	if strings.Count(text, "\n") > 26 || !strings.Contains(text, "97 routes before") || !strings.Contains(text, "/lost2/*") {
		t.Errorf("the text is too long, or lacks the candidates that came nearest:\n%s", text)
	}
	if !strings.Contains(text, "node: no route; *: 107 routes (rules without a host); default backend: 101 routes (when no rule matches)") {
		t.Errorf("the text does not say why hosts are asked:\n%s", text)
	}
	if !strings.Contains(text, "99 routes after this") {
		t.Errorf("the text does not say how many come later:\n%s", text)
	}
	whole := explain.Journey{Stories: []explain.Story{story}}.WholeText()
	for i := range 100 {
		if !strings.Contains(whole, fmt.Sprintf("/lost%d/*", i)) || strings.Count(whole, "later ") != 100 {
			t.Fatalf("the whole text does not have all candidates:\n%s", whole)
		}
	}
	if len(story.Candidates) < 200 {
		t.Errorf("%d candidates, want all of them", len(story.Candidates))
	}
}

// TestExplainClientCertificate: which certificates of clients are taken, and at what moment.
func TestExplainClientCertificate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	root := newSigner(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, NotBefore: now, NotAfter: now.Add(time.Hour)}, nil)
	between := newSigner(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, NotBefore: now, NotAfter: now.Add(time.Hour)}, root)
	client := func(by *signer, usage x509.ExtKeyUsage) []byte {
		return newSigner(t, &x509.Certificate{NotBefore: now, NotAfter: now.Add(time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{usage}}, by).pem
	}
	g := gateway(t)
	g.Tables[1].Groups = []model.TLSGroup{{
		Name: "1.3/ns/ca", MinVersion: model.TLS13, ClientCA: "ns/ca", Hosts: []model.Host{host(t, "a.test")}, Origins: model.Origins{at("guard", "x")},
	}}
	g.ClientCAs = []model.ClientCA{{Name: "ns/ca", Bundle: root.pem}}
	direct, indirect := client(root, x509.ExtKeyUsageClientAuth), client(between, x509.ExtKeyUsageClientAuth)
	for name, c := range map[string]struct {
		certificate []byte
		version     model.TLSVersion
		at          time.Time
		fails       string
	}{
		"good":               {direct, "", now, ""},
		"without a moment":   {direct, "", time.Time{}, ""},
		"by one in between":  {slices.Concat(indirect, between.pem), model.TLS13, now, ""},
		"none":               {nil, "", now, "none is shown"},
		"a gap":              {indirect, "", now, "unknown authority"},
		"a server's":         {client(root, x509.ExtKeyUsageServerAuth), "", now, "incompatible key usage"},
		"too late":           {direct, "", now.Add(2 * time.Minute), "expired"},
		"no PEM":             {[]byte("x"), "", now, "no PEM"},
		"an earlier version": {direct, model.TLS12, now, "1.3 or later"},
	} {
		story, err := explain.Explain(g, nil, explain.Request{URL: "https://a.test/only", ClientCertificate: c.certificate, TLSVersion: c.version, At: c.at})
		if err != nil {
			t.Fatal(err)
		}
		if failed := story.Decision.Backend == ""; failed != (c.fails != "") || !strings.Contains(story.Decision.Reason, c.fails) {
			t.Errorf("%s: %s, want %q", name, story.Text(), c.fails)
		}
		if story.Connection == nil || !strings.Contains(story.Text(), "Secret ns/ca") {
			t.Errorf("%s: the story does not tell of the CA:\n%s", name, story.Text())
		}
	}
}

// signerTemplate is a certificate that is asked for nothing but to be one.
var signerTemplate = x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}

type signer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// newSigner makes a certificate, signed by another or by itself.
func newSigner(t *testing.T, template *x509.Certificate, by *signer) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.Subject.CommonName = fmt.Sprintf("%p", key)
	s := &signer{certificate: template, key: key}
	if by == nil {
		by = s
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	if s.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return s
}
