package casetest

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
)

func TestParseProbes(t *testing.T) {
	probes, err := ParseProbes("probes.txt", []byte(`
# A comment.
GET http://node/k8s/x?y=1  Accept: a, b  X_y: 1  from 127.0.0.5  h2
  -> 200 ns/svc/443 /x?y=1 tls
  > X-Forwarded-Prefix: /k8s
  > X-Gone -
  < Set-Cookie: a=b; Path=/
  < Set-Cookie: c=d
POST https://node
  -> 302 https://node/
WS http://node/ws
  -> none
GET http://node/shared  times 40
  -> 200 ns/a/80 /x at 10.0.0.1:80 share 1/4
  > Host: a
  -> 503 share 3/4
  < X-Gone -
GET https://node/  sni other.test  tls 1.2  client-cert alice
  -> 421
GET https://node/  sni -  client-cert mallory other
  -> 421
`))
	if err != nil || len(probes) != 6 {
		t.Fatalf("%d probes, %v", len(probes), err)
	}
	p := probes[0]
	if p.Method != "GET" || p.URL != "http://node/k8s/x?y=1" || !p.HTTP2 || p.From.String() != "127.0.0.5" || p.Position != "probes.txt:3" {
		t.Errorf("the first probe is %+v", p)
	}
	if p.Header.Get("Accept") != "a, b" || len(p.Header["X_y"]) != 1 {
		t.Errorf("its headers are %v", p.Header)
	}
	w := p.Want
	if w.Status != 200 || w.Backend != "ns/svc/443" || w.Path != "/x?y=1" || !w.TLS || w.HTTP2 {
		t.Errorf("it wants %+v", w)
	}
	if len(w.Seen) != 2 || len(w.Seen[1].Values) != 0 || len(w.Response) != 1 || len(w.Response[0].Values) != 2 {
		t.Errorf("it wants the headers %+v and %+v", w.Seen, w.Response)
	}
	if got := probes[1].Want.Response; len(got) != 1 || got[0].Name != "Location" || got[0].Values[0] != "https://node/" {
		t.Errorf("the second wants %+v", got)
	}
	if p := probes[2]; !p.WebSocket || p.Method != "GET" || p.Want.Status != 0 || p.Header.Get("Upgrade") != "websocket" {
		t.Errorf("the third is %+v", p)
	}
	if p := probes[4]; p.SNI != "other.test" || p.TLSVersion != "1.2" || p.Client != (ClientCertificate{"alice", "test"}) {
		t.Errorf("the fifth is %+v", p)
	}
	if p := probes[5]; p.SNI != "-" || p.TLSVersion != "" || p.Client != (ClientCertificate{"mallory", "other"}) {
		t.Errorf("the fifth is %+v", p)
	}
	shared := probes[3]
	if w := shared.Want; shared.Times != 40 || w.Endpoint != "10.0.0.1:80" || w.Path != "/x" || w.Share != (Share{1, 4}) || len(w.Seen) != 1 || len(w.Response) != 0 {
		t.Errorf("the fourth is sent %d times and wants %+v", shared.Times, w)
	}
	if len(shared.Or) != 1 || shared.Or[0].Status != 503 || shared.Or[0].Share != (Share{3, 4}) || len(shared.Or[0].Seen) != 0 || len(shared.Or[0].Response) != 1 {
		t.Errorf("or it wants %+v", shared.Or)
	}
}

// TestTry: of many answers each must be wanted, and each that is wanted must come, as often as its share says.
func TestTry(t *testing.T) {
	shares := func(a, b Share) Probe {
		return Probe{Times: 100, Want: Want{Status: 200, Share: a}, Or: []Want{{Status: 503, Share: b}}}
	}
	tests := []struct {
		why   string
		probe Probe
		// unavailable is how many of a hundred answers are 503.
		unavailable int
		complaints  int
	}{
		{"an even half", shares(Share{1, 2}, Share{1, 2}), 50, 0},
		{"a half by chance", shares(Share{1, 2}, Share{1, 2}), 65, 0},
		{"a quarter in place of a half", shares(Share{1, 2}, Share{1, 2}), 24, 2},
		{"a quarter", shares(Share{3, 4}, Share{1, 4}), 25, 0},
		{"any share", shares(Share{}, Share{}), 1, 0},
		{"one answer never comes", shares(Share{}, Share{}), 0, 1},
		{"a rare one never comes", shares(Share{99, 100}, Share{1, 100}), 0, 1},
		{"one that is not wanted comes", Probe{Times: 100, Want: Want{Status: 200}}, 1, 1},
		{"asked once", Probe{Want: Want{Status: 200}}, 0, 0},
	}
	for _, tt := range tests {
		complaints, err := try(&countingJudge{unavailable: tt.unavailable}, tt.probe)
		if err != nil || len(complaints) != tt.complaints {
			t.Errorf("%s: %q, %v; want %d complaints", tt.why, complaints, err, tt.complaints)
		}
	}
}

// countingJudge answers 503 so many times, and 200 after that.
type countingJudge struct{ unavailable int }

func (j *countingJudge) Publish(translator.Result) error { return nil }

func (j *countingJudge) Ask(Probe) (Answer, error) {
	if j.unavailable--; j.unavailable >= 0 {
		return Answer{Status: 503}, nil
	}
	return Answer{Status: 200}, nil
}

func TestParseProbesRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		"GET /x\n  -> 200":                           "write METHOD URL",
		"GET http://n/ X: y\n  -> 200":               "write METHOD URL",
		"GET http://n/  word\n  -> 200":              "no header",
		"GET http://n/  from nowhere\n  -> 200":      "ParseAddr",
		"GET https://n/  tls 1.1\n  -> 200":          "tls 1.2 or tls 1.3",
		"GET https://n/  client-cert\n  -> 200":      "client-cert NAME",
		"GET http://n/  sni a.test\n  -> 200":        "no handshake",
		"GET http://n/":                              "no -> line",
		"GET http://n/\n  -> 200\n  -> 404":          "second -> line",
		"GET http://n/\n  -> 999":                    "no status",
		"GET http://n/\n  ->":                        "without a status",
		"GET http://n/\n  -> 200 a/b":                "write STATUS",
		"GET http://n/\n  -> 200 a/b/c x":            "write STATUS",
		"GET http://n/\n  -> 200 a/b/c at":           "without a value",
		"GET http://n/\n  -> 200 a/b/c share 2/2":    "write a share",
		"GET http://n/\n  -> 200 a/b/c share half":   "write a share",
		"GET http://n/  times 1\n  -> 200":           "from 2 to",
		"GET http://n/  times 1000\n  -> 200":        "from 2 to",
		"GET http://n/  times many\n  -> 200":        "from 2 to",
		"GET http://n/\n  -> 200\n  > X y: z":        "write Name: value",
		"GET http://n/\n  -> 200\n  = X: y":          "begin with",
		"  -> 200":                                   "without a request",
		"GET http://n/\n  -> 200\nGET http://n/once": "no -> line",
	} {
		if _, err := ParseProbes("p", []byte(text)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want an error with %q", text, err, reason)
		}
	}
}

func TestParseNames(t *testing.T) {
	got, err := parseNames(dnsFile, []byte("# a comment\na.test 192.0.2.1 alias=b.test fault=the servers fail\nb.test\n"))
	if err != nil || len(got) != 2 || got[0].Name != "a.test" || len(got[0].Addresses) != 1 || got[0].Aliases[0] != "b.test" || got[0].Fault != "the servers fail" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"a.test 192.0.2", "a.test\na.test 192.0.2.1"} {
		if got, err := parseNames(dnsFile, []byte(bad)); err == nil {
			t.Errorf("%q gives %+v, want an error", bad, got)
		}
	}
}

// TestDifferences: whatever is stated and not so is found, and nothing else is.
func TestDifferences(t *testing.T) {
	want := Want{
		Status: 200, Backend: "ns/svc/80", Endpoint: "10.0.0.1:80", Path: "/x", TLS: true,
		Seen:     []HeaderWant{{"X-List", []string{"a,b"}}, {"X-Gone", nil}},
		Response: []HeaderWant{{"Set-Cookie", []string{"a", "b"}}, {"Tls", []string{"shop.test"}}},
	}
	answer := func(change func(*Answer)) Answer {
		a := Answer{
			Status: 200, Response: http.Header{"Set-Cookie": {"a", "b"}}, Certificate: "shop.test",
			Seen: &Seen{Backend: "ns/svc/80", Endpoint: "10.0.0.1:80", Path: "/x", TLS: true, Header: http.Header{"X-List": {"a", "b"}}},
		}
		change(&a)
		return a
	}
	if got := want.Differences(answer(func(*Answer) {})); len(got) != 0 {
		t.Errorf("equal answers differ: %q", got)
	}
	for point, change := range map[string]func(*Answer){
		"status":                      func(a *Answer) { a.Status = 503 },
		"backend":                     func(a *Answer) { a.Seen = nil },
		"endpoint":                    func(a *Answer) { a.Seen.Endpoint = "10.0.0.2:80" },
		"path at the backend":         func(a *Answer) { a.Seen.Path = "/y" },
		"TLS to the backend":          func(a *Answer) { a.Seen.TLS = false },
		"HTTP/2 to the backend":       func(a *Answer) { a.Seen.HTTP2 = true },
		"header X-List at":            func(a *Answer) { a.Seen.Header.Set("X-List", "b, a") },
		"header X-Gone at":            func(a *Answer) { a.Seen.Header.Set("X-Gone", "here") },
		"response header Set-Cookie:": func(a *Answer) { a.Response["Set-Cookie"] = []string{"b", "a"} },
		"response header Tls":         func(a *Answer) { a.Certificate = "other" },
	} {
		got := want.Differences(answer(change))
		if len(got) == 0 || !strings.HasPrefix(got[0], point) {
			t.Errorf("%s: %q", point, got)
		}
	}
	reached := Want{Status: 404}.Differences(Answer{Status: 404, Seen: &Seen{Backend: "ns/svc/80"}})
	if len(reached) != 1 || !strings.HasPrefix(reached[0], "backend") {
		t.Errorf("a backend was reached though none may be: %q", reached)
	}
	if got := (Want{Status: 503}).Differences(Answer{Status: 503, Body: "upstream 10.0.0.1 failed"}); len(got) != 1 {
		t.Errorf("the gateway's own answer gives a reason away: %q", got)
	}
}

func TestBackendFailure(t *testing.T) {
	right := Backend{Mode: ModeAny, Names: []string{"a.svc"}, SignedBy: SignedByCA, MaxTLS: model.TLS13}
	old, strict := right, right
	old.MaxTLS, strict.DemandsClient = model.TLS12, true
	as := func(names ...string) *model.UpstreamTLS {
		return &model.UpstreamTLS{Names: names, MinVersion: model.TLS12}
	}
	skip, newest := as("a.svc"), as("a.svc")
	skip.SkipVerify, newest.MinVersion = true, model.TLS13
	trusted, known, stranger := AuthorityPEM(SignedByCA), NewPair("client.test", SignedByCA).Certificate, NewPair("client.test", SignedBySelf).Certificate
	tests := []struct {
		b     Backend
		a     approach
		fails bool
	}{
		{Usual(), approach{}, false},
		{Usual(), approach{tls: skip}, false},
		{Usual(), approach{tls: as("a.svc"), bundle: trusted}, true},
		{right, approach{tls: as("a.svc", "a.svc.cluster.local"), bundle: trusted}, false},
		{right, approach{tls: as("b.svc"), bundle: trusted}, true},
		{right, approach{tls: as("a.svc")}, true},
		{right, approach{tls: as("a.svc"), bundle: AuthorityPEM("other")}, true},
		{right, approach{tls: newest, bundle: trusted}, false},
		{old, approach{tls: newest, bundle: trusted}, true},
		{strict, approach{tls: as("a.svc"), bundle: trusted}, true},
		{strict, approach{tls: as("a.svc"), bundle: trusted, client: known}, false},
		{strict, approach{tls: as("a.svc"), bundle: trusted, client: stranger}, true},
		{strict, approach{}, false},
		{Backend{Mode: ModePlain}, approach{tls: as("a.svc"), bundle: trusted}, true},
		{Backend{Mode: ModePlain}, approach{}, false},
		{Backend{Mode: ModeDown}, approach{}, true},
	}
	for i, tt := range tests {
		if got := tt.b.failure(tt.a); (got != "") != tt.fails {
			t.Errorf("%d, %+v by %+v: %q", i, tt.b, tt.a.tls, got)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	for text, want := range map[string]string{
		"{{cert a.test}}":         base64Form(NewPair("a.test", SignedByCA).Certificate),
		"{{key a.test next}}":     base64Form(NewPair("a.test next", SignedByCA).Key),
		"{{cert a.test by=self}}": base64Form(NewPair("a.test", SignedBySelf).Certificate),
		"{{ca}} {{ca other}}":     base64Form(AuthorityPEM(SignedByCA)) + " " + base64Form(AuthorityPEM("other")),
		"{{ca-text other}}":       strconv.Quote(string(AuthorityPEM("other"))),
	} {
		if got, err := expand(text, base64Form); err != nil || got != want {
			t.Errorf("%s: %v, %s", text, err, got)
		}
	}
	for _, text := range []string{"{{cert}}", "{{crt a.test}}"} {
		if _, err := expand(text, base64Form); err == nil {
			t.Errorf("%s is expanded", text)
		}
	}
}

const minimal = `Why.
-- settings.yaml --
tls-cert-dir: certs
trusted-proxies: [127.0.0.5/32, 127.0.0.6/32]
https-public-port: 443
-- certs/tls.crt --
{{cert edge.test}}
-- certs/tls.key --
{{key edge.test}}
-- input.yaml --
{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {tls.crt: {{cert a.test}}, tls.key: {{key a.test}}}}
-- probes.txt --
GET https://edge.test/
  -> 404
  < Tls: edge.test
`

func write(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "x.txtar"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestLoadReadsSettingsAndPlaceholders(t *testing.T) {
	root := write(t, minimal)
	c := Load(t, root)[0]
	w, s := c.World(t)
	if len(w.Secrets) != 1 || len(w.Secrets[0].Data["tls.key"]) == 0 {
		t.Errorf("the Secret is %v", w.Secrets)
	}
	e := s.Resolve.Edge
	if len(e.TrustedProxies) != 2 || e.HTTPSPublicPort != 443 || s.Resolve.DefaultCertificate == nil {
		t.Errorf("the settings are %+v", e)
	}
	Run(t, root, Explain)
}

func TestLoadRefuses(t *testing.T) {
	for change, reason := range map[[2]string]string{
		{"Why.", ""}:                                       "comment",
		{"-- probes.txt --", "-- probe.txt --"}:            "probe.txt",
		{"trusted-proxies:", "trusted-proxy:"}:             "no such flag",
		{"{{cert a.test}}", "{{crt a.test}}"}:              "{{crt a.test}}",
		{"-- probes.txt --", "-- input.yaml --"}:           "twice",
		{"-- probes.txt --", "-- probes2.txt --"}:          "without step2.yaml",
		{"Why.", "Why.\n-- backends.txt --\na/b/80 plain"}: "a/b/80",
		{"Why.", "Why.\n-- backends.txt --\na/b/80 slow"}:  "slow",
	} {
		text := strings.Replace(minimal, change[0], change[1], 1)
		root := write(t, text)
		c, err := load(t, root, filepath.Join(root, "x.txtar"))
		if err == nil {
			_, err = c.Translate()
		}
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want an error with %q", change, err, reason)
		}
	}
}

func TestUpdateWritesGoldensAndKeepsTheRest(t *testing.T) {
	root := write(t, minimal)
	t.Setenv("UPDATE", "1")
	c := Load(t, root)[0]
	results, err := c.Translate()
	if err != nil {
		t.Fatal(err)
	}
	c.compare(t, c.goldens(results))
	t.Setenv("UPDATE", "")
	c = Load(t, root)[0]
	if !strings.Contains(c.Golden("routes.txt"), "https 127.0.0.1:8443") {
		t.Errorf("routes.txt is %q", c.Golden("routes.txt"))
	}
	if c.Golden("probes.txt") == "" || !strings.Contains(string(c.archive.Comment), "Why.") {
		t.Error("what people wrote is gone")
	}
	for _, g := range c.goldens(results) {
		if c.Golden(g.Name) != string(g.Data) {
			t.Errorf("%s is %q, want %q", g.Name, c.Golden(g.Name), g.Data)
		}
	}
}

func TestResent(t *testing.T) {
	one, two := Load(t, write(t, minimal))[0], Load(t, write(t, strings.Replace(minimal, "https-public-port: 443", "https-public-port: 443\nhttp: \"\"", 1)))[0]
	a, err := one.Translate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.Translate()
	if err != nil {
		t.Fatal(err)
	}
	if got := Resent(a[0], a[0]); len(got) != 0 {
		t.Errorf("nothing changed and %v travels", got)
	}
	if got, want := Resent(a[0], b[0]), []string{"- listeners http", "- routes http"}; !slices.Equal(got, want) {
		t.Errorf("%v travels, want %v", got, want)
	}
}
