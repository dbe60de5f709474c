package diff_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diff"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

func small(edit func(i int, ing *networkingv1.Ingress)) source.World { return largeWorld(3, edit) }

func translated(w source.World) diff.Side {
	r := translator.Translate(w, largeSettings())
	return diff.Side{Gateway: r.Gateway, Diagnostics: r.Diagnostics}
}

func unedited(int, *networkingv1.Ingress) {}

// TestEndpoints: other addresses are no difference, but that there are none is, unless every Service is taken as served.
func TestEndpoints(t *testing.T) {
	a := translated(small(unedited))
	moved, gone := a, a
	moved.Gateway.Assignments = slices.Clone(a.Gateway.Assignments)
	moved.Gateway.Assignments[0].Endpoints = []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:80")}
	gone.Gateway.Assignments = slices.Clone(a.Gateway.Assignments)
	gone.Gateway.Assignments[0].Endpoints = nil
	if report := diff.Compare(a, moved); report.Different() {
		t.Errorf("other addresses:\n%s", report.Text())
	}
	changes := diff.Endpoints(a, moved)
	if len(changes) != 1 || changes[0].String() != "endpoints of shop/s0/80: -10.0.0.1:80 +10.9.9.9:80" {
		t.Errorf("other addresses: %v", changes)
	}
	report := diff.Compare(a, gone)
	if len(report.Classes) != 1 || report.Classes[0].Kind != diff.OtherAnswer || !strings.Contains(report.Text(), "+ shop/s0/80 without endpoints (503)") {
		t.Errorf("no endpoints:\n%s", report.Text())
	}
	if report := diff.Compare(a.Served(), gone.Served()); report.Different() {
		t.Errorf("every Service taken as served:\n%s", report.Text())
	}
}

// TestOrderMeansNothing: the report is the same, whatever the order of the objects.
func TestOrderMeansNothing(t *testing.T) {
	other := small(func(i int, ing *networkingv1.Ingress) {
		ing.Annotations["ingress.kubernetes.io/whitelist-source-range"] = "10.0.0.0/8"
		ing.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "s9"
	})
	a := translated(small(unedited))
	want := diff.Compare(a, translated(other)).Text()
	slices.Reverse(other.Ingresses)
	slices.Reverse(other.Services)
	if got := diff.Compare(a, translated(other)).Text(); got != want || !strings.Contains(want, "goes elsewhere") {
		t.Errorf("in another order it is another:\n%s\nand was:\n%s", got, want)
	}
}

// TestWhatIsTold: a change of each sort has its kind, its words, both sides in a line, and a request that shows it.
func TestWhatIsTold(t *testing.T) {
	annotated := func(key, value string) func(int, *networkingv1.Ingress) {
		return func(i int, ing *networkingv1.Ingress) {
			if i == 0 {
				ing.Annotations[key] = value
			}
		}
	}
	for _, tt := range []struct {
		name string
		edit func(int, *networkingv1.Ingress)
		want []string
	}{
		{"another backend", func(i int, ing *networkingv1.Ingress) {
			if i == 1 {
				ing.Spec.Rules[0].HTTP.Paths[1].Backend.Service.Name = "s8"
			}
		}, []string{"goes elsewhere: backend", "http h00001.example.test /api/*", "- shop/s2/80  [Ingress shop/i00001 spec.rules[0].http.paths[1]", "+ shop/s8/80", "postern explain http://h00001.example.test/api\n    shop/s2/80 /api -> shop/s8/80 /api"}},
		{"another host", func(i int, ing *networkingv1.Ingress) {
			if i == 1 {
				ing.Spec.Rules[0].Host = "new.test"
			}
		}, []string{"removed\n  http h00001.example.test", "- shop/s1/80", "+ 404", "added\n  http new.test"}},
		{"who may", annotated("ingress.kubernetes.io/whitelist-source-range", "10.0.0.0/8"),
			[]string{"other policy: access", "- access: none", "+ access: peers in 10.0.0.0/8", "-> 403"}},
		{"who may, from elsewhere", annotated("ingress.kubernetes.io/whitelist-source-range", "0.0.0.0/1,::/0"),
			[]string{"other policy: access", "postern explain --from 128.0.0.0 http://h00000.example.test/"}},
		{"how often", annotated("ingress.kubernetes.io/rate-limit", "{extractorfunc: client.ip, rateset: {a: {period: 3s, average: 5, burst: 9}}}"),
			[]string{"other policy: rate limit", "+ rate limit: by client, 5 every 3s, 9 at once"}},
		{"headers, whose values are nobody's business", annotated("ingress.kubernetes.io/custom-request-headers", "X-Token:canary"),
			[]string{"other policy: request headers", "+ request headers: +X-Token"}},
		{"a redirect", annotated("ingress.kubernetes.io/ssl-redirect", "true"),
			[]string{"other policy: redirects", "301 to HTTPS", "-> 301 to https://h00000.example.test/"}},
	} {
		text := diff.Compare(translated(small(unedited)), translated(small(tt.edit))).Text()
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: there is no %q in\n%s", tt.name, want, text)
			}
		}
		if strings.Contains(text, "canary") {
			t.Errorf("%s: the value of a header is told:\n%s", tt.name, text)
		}
	}
}

// TestUsersThatAreNotKnown: where one side came without the lines of its users, they make no difference.
func TestUsersThatAreNotKnown(t *testing.T) {
	guarded := func(lines ...model.User) diff.Side {
		auth := &model.Auth{Kind: model.AuthBasic, Users: model.SecretRef{Namespace: "shop", Name: "users"}}
		side := translated(small(unedited))
		for i := range side.Gateway.Tables {
			for _, h := range side.Gateway.Tables[i].Exact {
				for j := range h.Routes {
					h.Routes[j].Auth = auth
				}
			}
		}
		side.Gateway.Users = []model.Users{{Name: auth.UsersName(), Entries: lines}}
		return side
	}
	alice, other := model.User{Name: "alice", Hash: []byte("{SHA}a")}, model.User{Name: "alice", Hash: []byte("{SHA}b")}
	if report := diff.Compare(guarded(alice), guarded()); report.Different() || len(report.Unseen) > 0 {
		t.Errorf("one side's users are not known:\n%s", report.Text())
	}
	for _, tt := range []struct {
		name, says string
		lines      []model.User
		commands   int
	}{
		{"another password", "(other passwords)", []model.User{other}, 0},
		{"another user", "(other users)", []model.User{alice, {Name: "bob", Hash: []byte("{SHA}c")}}, 1},
		{"another user and another password", "(other users)", []model.User{other, {Name: "bob", Hash: []byte("{SHA}c")}}, 1},
	} {
		text := diff.Compare(guarded(alice), guarded(tt.lines...)).Text()
		if !strings.Contains(text, "other policy: authentication") || !strings.Contains(text, tt.says) {
			t.Errorf("%s is not told:\n%s", tt.name, text)
		}
		if strings.Contains(text, "alice") || strings.Contains(text, "bob") {
			t.Errorf("%s: a user is told:\n%s", tt.name, text)
		}
		if n := strings.Count(text, "postern explain --logged-in NAME http"); n != tt.commands || n > 0 && !strings.Contains(text, "401 (Secret shop/users has no such user) -> shop/") {
			t.Errorf("%s: %d commands, which tell too little:\n%s", tt.name, n, text)
		}
	}
}

// TestSettings: what flags decide is told once for an entry, with a request that this setting, and no other, treats otherwise.
func TestSettings(t *testing.T) {
	a, b := translated(small(unedited)), translated(small(unedited))
	b.Gateway.Edge.EscapedSlashes = model.SlashesReject
	b.Gateway.Edge.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	report := diff.Compare(a, b)
	want := map[string]string{
		"escaped slashes": "- escaped slashes: redirect\n  + escaped slashes: reject\n  postern explain http://any.host.invalid/%2Fx\n",
		"trusted proxies": "- trusted proxies: none\n  + trusted proxies: 10.0.0.0/8\n  postern explain -H 'X-Forwarded-For: 10.0.0.0' --from 10.0.0.0 http://h00002.example.test/",
	}
	for name, text := range want {
		if !strings.Contains(report.Text(), text) {
			t.Errorf("%s: there is no\n%s\nin\n%s", name, text, report.Text())
		}
	}
	if len(report.Classes) != len(want) {
		t.Errorf("%d changes, want %d:\n%s", len(report.Classes), len(want), report.Text())
	}
}

// TestRenewedCertificate: a certificate that many hosts have is one change, however many names it is served for.
func TestRenewedCertificate(t *testing.T) {
	serving := func(chain string) diff.Side {
		side := translated(small(unedited))
		side.Gateway.Certificates = nil
		for _, name := range []string{"h00000.example.test", "h00001.example.test", "*.other.test"} {
			host, err := model.ParseHost(name)
			if err != nil {
				t.Fatal(err)
			}
			side.Gateway.Certificates = append(side.Gateway.Certificates, model.Certificate{Host: host, Chain: []byte(chain)})
		}
		return side
	}
	report := diff.Compare(serving("old"), serving("new"))
	if len(report.Classes) != 1 || report.Classes[0].Count != 3 {
		t.Errorf("want one change of three hosts:\n%s", report.Text())
	}
}

// TestCompareIn: of a namespace nothing else is told than what either side has from it, and what else differs is counted.
func TestCompareIn(t *testing.T) {
	of := func(namespaces ...string) diff.Side {
		return translated(small(func(i int, ing *networkingv1.Ingress) {
			ing.Namespace = namespaces[i]
			if ing.Namespace == "" {
				ing.Namespace, ing.Spec.Rules[0].Host = "blog", "new.test"
			}
		}))
	}
	a, b := of("shop", "shop", "blog"), of("shop", "blog", "")
	for namespace, want := range map[string]string{
		"": "h00001.example.test h00002.example.test new.test", "blog": "h00001.example.test h00002.example.test new.test", "shop": "h00001.example.test", "other": "",
	} {
		report := diff.CompareIn(namespace, a, b)
		hosts := map[string]bool{}
		for _, c := range report.Classes {
			for _, h := range c.Hosts {
				hosts[h.Host] = true
			}
		}
		if got := strings.Join(slices.Sorted(maps.Keys(hosts)), " "); got != want || (report.Elsewhere == 0) != (namespace == "" || namespace == "blog") {
			t.Errorf("of namespace %q: %q and %d elsewhere, want %q", namespace, got, report.Elsewhere, want)
		}
	}
	renewed := of("shop", "shop", "blog")
	renewed.Gateway.Default = &model.Certificate{Chain: []byte("new")}
	renewed.Gateway.Edge.EscapedSlashes = model.SlashesReject
	if report := diff.CompareIn("shop", a, renewed); len(report.Classes) != 2 || report.Classes[1].Hosts[0].Host != "h00000.example.test" {
		t.Errorf("settings and the certificate of its hosts are told of every namespace:\n%s", report.Text())
	}
}

// TestConcealedIsCompared: other values of annotations are told, and none is shown, whether a side has them or was written and
// read; equal ones are equal to what was written of them.
func TestConcealedIsCompared(t *testing.T) {
	with := func(annotations map[string]string) diff.Side {
		return translated(small(func(i int, ing *networkingv1.Ingress) {
			if i == 0 {
				maps.Copy(ing.Annotations, annotations)
			}
		}))
	}
	read := func(s diff.Side) diff.Side {
		t.Helper()
		text := model.Encode(s.Gateway)
		if strings.Contains(string(text), "canary") {
			t.Errorf("the form holds a value: %s", text)
		}
		g, err := model.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		return diff.Side{Gateway: g}
	}
	redirect := map[string]string{"ingress.kubernetes.io/ssl-redirect": "true"}
	for _, tt := range []struct{ key, before, after, says string }{
		{"custom-request-headers", "X-Key:canary-a", "X-Key:canary-b", "request headers: +X-Key (other values)"},
		{"custom-response-headers", "X-Key:canary-a", "X-Key:canary-b", "response headers: +X-Key (other values)"},
		{"ssl-proxy-headers", "X-Scheme:canary-a", "X-Scheme:canary-b", "unless x-scheme (other values)"},
		{"error-pages", `{a: {status: ["500"], backend: s1, query: "/x?canary-a"}}`, `{a: {status: ["500"], backend: s1, query: "/x?canary-b"}}`, "/x?[redacted] of"},
	} {
		a, b := maps.Clone(redirect), maps.Clone(redirect)
		a["ingress.kubernetes.io/"+tt.key], b["ingress.kubernetes.io/"+tt.key] = tt.before, tt.after
		before, after := with(a), with(b)
		for name, sides := range map[string][2]diff.Side{
			"both whole": {before, after}, "one read": {read(before), after}, "the other read": {before, read(after)}, "both read": {read(before), read(after)},
		} {
			text := diff.Compare(sides[0], sides[1]).Text()
			if !strings.Contains(text, tt.says) || strings.Contains(text, "canary") || strings.ContainsAny(text, "\x01") {
				t.Errorf("%s, %s: there is no %q, or a value, in\n%s", tt.key, name, tt.says, text)
			}
		}
		if report := diff.Compare(before, read(before)); report.Different() || len(report.Unseen) > 0 {
			t.Errorf("%s: what was read is another:\n%s", tt.key, report.Text())
		}
	}
}
