package inspect

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// dataOf is the data of a page as JSON has them.
func dataOf[T any](t testing.TB, v View, address string) T {
	t.Helper()
	s := siteOf(t, v)
	joined := "?"
	if strings.Contains(address, "?") {
		joined = "&"
	}
	status, _, body := s.get(address + joined + "format=json")
	var out T
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v\n%s", address, status, err, body)
	}
	return out
}

// row is what tests read of any row.
type row struct {
	Name   string
	Health struct {
		State   string
		Reasons []string
	}
}

// TestHealthOfHosts: a host is as well as the worst of its routes, and says why.
func TestHealthOfHosts(t *testing.T) {
	want := map[string]string{
		"admin.shop.test": "healthy", "closed.shop.test": "failing closed: there is no Secret shop/there-is-none", "empty.shop.test": "failing shop/nobody: no endpoints",
		"shop.test": "degraded shop/images: 1 of 2 endpoints not ready", "*.team-b.test": "healthy", "*": "failing closed: there is no Service team-b/missing", "default backend": "healthy",
	}
	got := map[string]string{}
	for _, h := range dataOf[struct{ Hosts []row }](t, shopView(t), "/hosts").Hosts {
		got[h.Name] = strings.TrimSpace(h.Health.State + " " + strings.Join(h.Health.Reasons, "; "))
	}
	for name, words := range want {
		if got[name] != words {
			t.Errorf("%s: %q, want %q", name, got[name], words)
		}
	}
	if len(got) != len(want) {
		t.Errorf("hosts: %v", got)
	}
}

// TestClosedAsAsked: plain HTTP to a host that asks for a client's certificate is closed as it should be.
func TestClosedAsAsked(t *testing.T) {
	text, err := os.ReadFile("../../translator/testdata/client-certificate/pass.txtar")
	if err != nil {
		t.Fatal(err)
	}
	v := viewOf(t, string(text))
	closed := 0
	for _, h := range v.index().hosts {
		for i, r := range h.routes {
			if c, ok := r.Action.(*model.Closed); ok && c.Code == diag.CodePlainHTTP {
				closed++
				if row := v.routeRow(routeAt{h, i}); row.Health.State != stateOK || row.Closed == "" || v.hostHealth(h).State != stateOK {
					t.Errorf("%s: %+v", h.name, row)
				}
				if page := textOf(siteOf(t, v).page("/" + h.link())); !strings.Contains(page, "closed, as it should be answers 503: it asks for a client certificate") || !strings.Contains(page, "✓ healthy") {
					t.Errorf("%s: %s", h.name, page)
				}
			}
		}
	}
	if closed == 0 {
		t.Fatal("no route is closed over plain HTTP")
	}
	if problems := v.closedProblems(); len(problems) > 0 {
		t.Errorf("it is to be looked at: %+v", problems)
	}
}

// TestHealthOfBackends: what the data plane says of a backend counts beside its endpoints.
func TestHealthOfBackends(t *testing.T) {
	v := shopView(t)
	v.Failing = map[string]failing.Failure{"shop/admin/8443/https": {Reason: "TLS: the certificate is for other.test", Count: 3, Last: testTime.Add(-time.Minute)}}
	for name, want := range map[string]string{
		"shop/web/80": "healthy", "shop/nobody/80": "failing no endpoints", "shop/images/80": "degraded 1 of 2 endpoints not ready",
		"shop/admin/8443/https": "failing TLS: the certificate is for other.test (3 requests failed, the last 1 minute ago)", "shop/gone/80": "failing the gateway has no such backend",
	} {
		h := v.backendHealth(name)
		if got := strings.TrimSpace(h.State.String() + " " + strings.Join(h.Reasons, "; ")); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if h := v.hostHealth(v.index().byHost[hostID{"https", "admin.shop.test"}]); h.State != stateFailing {
		t.Errorf("the host of a failing backend is %s", h.State)
	}
	all := dataOf[struct{ Backends []row }](t, v, "/services?state=trouble").Backends
	if len(all) != 3 {
		t.Errorf("in trouble: %+v", all)
	}
}

// TestUnreadyEndpoints tells a Service whose endpoints are all not ready from one that has none, and names outside of the cluster
// by what is known of them.
func TestUnreadyEndpoints(t *testing.T) {
	unready := []endpoint{{Condition: conditionNotReady}, {Condition: conditionNotReady}}
	for _, tt := range []struct {
		assignment model.Assignment
		behind     []endpoint
		want       string
	}{
		{model.Assignment{}, unready, "none of 2 endpoints ready"},
		{model.Assignment{}, nil, "no endpoints"},
		{model.Assignment{Outside: &model.OutsideName{Name: "a.example"}}, nil, "a.example is not looked up yet"},
		{model.Assignment{Outside: &model.OutsideName{Name: "a.example", Asked: true}}, nil, "a.example has no address that may be connected to"},
	} {
		if got := withoutEndpoints(&tt.assignment, tt.behind); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestCertificates: they are told of before they end.
func TestCertificates(t *testing.T) {
	v := shopView(t)
	end := v.index().certificates[0].leaf().NotAfter
	for before, want := range map[time.Duration]string{
		-time.Hour: "failing", time.Hour: "degraded", expirySoon - time.Minute: "degraded", expirySoon + time.Minute: "healthy",
	} {
		v.Now = end.Add(-before)
		// The certificate of tests is young; how it begins is no part of this.
		v.index().certificates[0].leaf().NotBefore = time.Time{}
		if got := v.certificateRow(&v.index().certificates[0]); got.Health.State.String() != want {
			t.Errorf("%s before its end: %+v, want %s", before, got.Health, want)
		}
	}
	v.Now = end.Add(-2 * expirySoon)
	v.index().certificates[0].leaf().NotBefore = v.Now.Add(time.Hour)
	if got := v.certificateRow(&v.index().certificates[0]); !slices.Contains(got.Health.Reasons, "not valid yet") {
		t.Errorf("before its time: %+v", got.Health)
	}
	v.Now = testTime
	v.index().certificates[0].leaf().NotBefore = time.Time{}
	for host, want := range map[string]string{"shop.test": "CN=shop.test", "admin.shop.test": "CN=shop.test", "x.team-b.test": "CN=Postern default certificate"} {
		h, err := model.ParseHost(host)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.certificateFor(h); got == nil || got.Subject != want {
			t.Errorf("%s is served with %+v, want %s", host, got, want)
		}
	}
}

// TestIngressPage has what was won and lost, and why an Ingress is not served.
func TestIngressPage(t *testing.T) {
	type conflict struct{ Host, Path string }
	type page struct {
		Served      bool
		Lost        int
		Won         []conflict
		LostRows    []conflict
		Annotations []struct{ Annotation, State string }
		Diagnostics []struct{ Code, Fix string }
		RouteRows   []struct {
			Policies []string
			Targets  []struct{ Backend, Share string }
		}
	}
	v := shopView(t)
	late := dataOf[page](t, v, "/ingress?namespace=team-b&name=late")
	if !late.Served || len(late.LostRows) != 2 || late.LostRows[0] != (conflict{"shop.test", "/images/*"}) || late.Diagnostics[0].Code != "P4003" || late.Diagnostics[0].Fix == "" {
		t.Errorf("late: %+v", late)
	}
	if web := dataOf[page](t, v, "/ingress?namespace=shop&name=web"); len(web.Won) != 2 || len(web.LostRows) != 0 {
		t.Errorf("web: %+v", web)
	}
	if other := dataOf[page](t, v, "/ingress?namespace=team-b&name=elsewhere"); other.Served || other.Diagnostics[0].Code != "P2001" {
		t.Errorf("elsewhere: %+v", other)
	}
	cart := dataOf[page](t, v, "/ingress?namespace=shop&name=cart")
	if targets := cart.RouteRows[0].Targets; len(targets) != 2 || targets[0].Share != "90%" || targets[1].Share != "10%" {
		t.Errorf("cart goes to %+v", targets)
	}
	for _, words := range []string{"takes off /cart", "sets X-Api-Key, X-Team of the request", "at most 100 requests in 3s, 200 at once, for each client", "answers 503 to other spellings of its path"} {
		if !slices.Contains(cart.RouteRows[0].Policies, words) {
			t.Errorf("cart: %q is not among %q", words, cart.RouteRows[0].Policies)
		}
	}
	for _, a := range cart.Annotations {
		if a.State == diag.StateCloses.String() {
			t.Errorf("%s is %s", a.Annotation, a.State)
		}
	}
}

// TestNotServed: Ingresses that were read and not chosen are listed, found and counted, with what chose them out.
func TestNotServed(t *testing.T) {
	type list struct {
		Ingresses []struct {
			Name, Why string
			Served    bool
			Hosts     []string
		}
		Paging paging
	}
	v := shopView(t)
	for query, want := range map[string]int{"": 9, "?state=not-served": 1, "?state=not-served&q=shop/": 0, "?state=trouble&q=elsewhere": 0, "?q=elsewhere": 1} {
		if got := dataOf[list](t, v, "/ingresses"+query); got.Paging.Total != want {
			t.Errorf("%q: %+v, want %d", query, got, want)
		}
	}
	one := dataOf[list](t, v, "/ingresses?state=not-served").Ingresses[0]
	if one.Served || one.Name != "elsewhere" || !strings.Contains(one.Why, "another") || !slices.Equal(one.Hosts, []string{"elsewhere.test"}) {
		t.Errorf("%+v", one)
	}
	text := textOf(siteOf(t, v).page("/ingresses"))
	if !strings.Contains(text, "– not served "+one.Why) {
		t.Errorf("people are not told: %s", text)
	}
	type overview struct {
		Health   struct{ State string }
		Counts   counts
		Problems []struct{ What, Link string }
	}
	if got := dataOf[overview](t, v, "/"); got.Counts.Ingresses != 8 || got.Counts.IngressesNotServed != 1 || slices.ContainsFunc(got.Problems, func(p struct{ What, Link string }) bool { return p.What == "No Ingress is served" }) {
		t.Errorf("%+v", got)
	}
	none := viewOf(t, strings.ReplaceAll(shopText(t), "ingress-class: traefik", "ingress-class: mistaken"))
	none.Proxies = v.Proxies[:1]
	got := dataOf[overview](t, none, "/")
	if got.Health.State != "degraded" || len(got.Problems) != 1 || got.Problems[0] != (struct{ What, Link string }{"No Ingress is served", "ingresses?state=not-served"}) {
		t.Errorf("by a wrong class: %+v", got)
	}
}

// TestProxyPage: a refusal, how far a proxy is behind, and in which words.
func TestProxyPage(t *testing.T) {
	v := shopView(t)
	rows := v.proxyRows()
	if rows[0].Health.State != stateOK || rows[1].Health.State != stateFailing || rows[1].Behind != 2 || !slices.Contains(rows[1].Health.Reasons, "2 revisions behind") {
		t.Errorf("%+v", rows)
	}
	nack := v.typeRow(v.proxies()[1].Types[0])
	if nack.NACK == nil || nack.NACK.Over || nack.NACK.Origins[0].Link != "ingress?name=cart&namespace=shop" || nack.RefusedCount != 1 {
		t.Errorf("%+v", nack)
	}
	v.Silent = map[string]string{v.Proxies[0].Node: "dial 10.0.0.1:8082: connection refused"}
	if got := v.proxyRow(v.proxies()[0]); got.Health.State != stateDegraded || !strings.Contains(got.Health.Reasons[0], "dial 10.0.0.1:8082: connection refused") {
		t.Errorf("a proxy that cannot be asked: %+v", got)
	}
	v.Silent = nil
	v.Proxies[0].Revision = 0
	if got := v.proxyRow(v.proxies()[0]); got.Health.State != stateDegraded {
		t.Errorf("a proxy that has answered nothing: %+v", got)
	}
}

// TestAuthorizersAreNotProxies: the second stream of a data plane is told of as what it is, and answers nobody's requests.
func TestAuthorizersAreNotProxies(t *testing.T) {
	v := shopView(t)
	v.Proxies = append(v.Proxies, xds.ProxyState{Node: "edge-1-authorizer", Revision: 7, Authorizer: true})
	type overview struct {
		Problems []struct{ What string }
		Counts   counts
	}
	if got := dataOf[overview](t, v, "/").Counts; got.Proxies != 2 || got.ProxiesInSync != 1 {
		t.Errorf("%d of %d proxies", got.ProxiesInSync, got.Proxies)
	}
	if p := v.pulse(); p.Proxies != 2 || p.ProxiesInSync != 1 {
		t.Errorf("the pulse is %+v", p)
	}
	s := siteOf(t, v)
	for _, address := range []string{"/proxies", "/proxy?node=edge-1-authorizer"} {
		if text := textOf(s.page(address)); strings.Count(text, "authorizer of a data plane") != 1 {
			t.Errorf("%s: %s", address, text)
		}
	}
	v.Proxies = v.Proxies[2:]
	if got := dataOf[overview](t, v, "/"); got.Counts.Proxies != 0 || got.Problems[0].What != "No proxy is connected" {
		t.Errorf("with an authorizer alone: %+v", got)
	}
	if text := textOf(siteOf(t, v).page("/proxies")); !strings.Contains(text, "No proxy is connected") || !strings.Contains(text, "edge-1-authorizer") {
		t.Error(text)
	}
	v.Proxies[0].Revision = 5
	if got := dataOf[overview](t, v, "/"); !slices.Contains(got.Problems, struct{ What string }{"Authorizer edge-1-authorizer"}) {
		t.Errorf("an authorizer that is behind is not told of: %+v", got.Problems)
	}
}

// TestOverview: its verdict is that of the worst, and each problem leads to its page.
func TestOverview(t *testing.T) {
	type overview struct {
		Health   struct{ State string }
		Problems []struct{ What, Link string }
		Counts   counts
	}
	v := shopView(t)
	got := dataOf[overview](t, v, "/")
	if got.Health.State != "failing" || got.Counts.Hosts != 7 || got.Counts.Proxies != 2 || got.Counts.ProxiesInSync != 1 || got.Counts.HostsInTrouble != 4 {
		t.Errorf("%+v", got)
	}
	for _, what := range []string{"Proxy edge-2", "Service shop/nobody port 80", "Ingress shop/closed", "Certificate CN=shop.test"} {
		if !slices.ContainsFunc(got.Problems, func(p struct{ What, Link string }) bool { return p.What == what && p.Link != "" }) {
			t.Errorf("%s is not among %+v", what, got.Problems)
		}
	}
	v.Proxies = nil
	if got := dataOf[overview](t, v, "/"); got.Problems[0].What != "No proxy is connected" {
		t.Errorf("without a proxy: %+v", got.Problems)
	}
	well := viewOf(t, "One.\n\n-- settings.yaml --\n{}\n-- input.yaml --\n{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}\n")
	well.Proxies = []xds.ProxyState{{Node: "edge", Revision: 7}}
	if got := dataOf[overview](t, well, "/"); got.Health.State != "healthy" || len(got.Problems) != 0 {
		t.Errorf("nothing is wrong: %+v", got)
	}
}

// TestSearch finds what there is of every kind, and a URL to explain.
func TestSearch(t *testing.T) {
	type result struct {
		Total   int
		Explain string
		Groups  []struct {
			Kind  string
			Found []struct{ Name, Link string }
		}
	}
	v := shopView(t)
	for text, want := range map[string]string{
		"SHOP.test": "hosts ingresses? certificates", "/cart": "paths services", "late": "ingresses", "nobody": "services", "nothing-at-all": "", "shop.test/cart": "paths",
		"10.1.0.2:8080": "endpoints", "web-6f7b9c-9qk7d": "endpoints", "fd00::7": "endpoints", "node-b": "endpoints", "EDGE-1": "proxies", "p4003": "diagnostics", "elsewhere.test": "ingresses",
	} {
		var kinds []string
		for _, g := range dataOf[result](t, v, link("/search", "q", text)).Groups {
			kinds = append(kinds, g.Kind)
		}
		for _, kind := range strings.Fields(want) {
			if kind, sure := strings.CutSuffix(kind, "?"); !sure && !slices.Contains(kinds, kind) {
				t.Errorf("%s is found among %q, not among %s", text, kinds, kind)
			}
		}
		if want == "" && len(kinds) > 0 {
			t.Errorf("%s is found among %q", text, kinds)
		}
	}
	for text, want := range map[string]string{
		"http://shop.test/a": "explain?url=http%3A%2F%2Fshop.test%2Fa", "shop.test/a": "explain?url=https%3A%2F%2Fshop.test%2Fa", "*.shop.test": "", "cart": "", "a b.c": "", "http://": "",
	} {
		if got := explainLink(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestVerdictSaysWhyOnce: what the gateway answers by itself is said with its reason in the sentence above, and without it below.
func TestVerdictSaysWhyOnce(t *testing.T) {
	s := siteOf(t, shopView(t))
	for address, want := range map[string][2]string{
		"/explain?method=BREW&url=http://shop.test/":      {"400 Bad Request", "no method that is known"},
		"/explain?url=https://closed.shop.test/":          {"503 Service Unavailable", "there is no Secret shop/there-is-none"},
		"/explain?url=http://shop.test/a_b&header=A_B:+c": {"400 Bad Request", "has an underscore"},
	} {
		page := s.page(address)
		for _, e := range elements(page, "p") {
			if strings.HasPrefix(attribute(e, "class"), "verdict") && strings.Count(textOf(e), want[1]) != 1 {
				t.Errorf("%s: the verdict is %q, want %q in it once", address, textOf(e), want[1])
			}
		}
		told := false
		for _, e := range elements(page, "li") {
			if text := textOf(e); strings.HasPrefix(text, "Answer ") {
				told = true
				if !strings.Contains(text, want[0]) || strings.Contains(text, want[1]) {
					t.Errorf("%s: %q, want %q without %q", address, text, want[0], want[1])
				}
			}
		}
		if !told {
			t.Errorf("%s has no answer", address)
		}
	}
}

// TestExplainPage: the answer in a sentence, every request on the way where redirects are followed, and no value of a header that
// an annotation sets.
func TestExplainPage(t *testing.T) {
	s := siteOf(t, shopView(t))
	for address, want := range map[string][]string{
		"/explain?url=http://shop.test/":                                     {"302 Found to https://shop.test/"},
		"/explain?follow=true&url=http://shop.test/":                         {"302 Found to https://shop.test/", "Goes to shop/web/80."},
		"/explain?url=https://closed.shop.test/":                             {"The gateway answers 503 Service Unavailable: there is no Secret shop/there-is-none."},
		"/explain?url=https://shop.test/cart/":                               {"Goes to one of 2 backends, by weight."},
		"/explain?url=https://admin.shop.test/&from=192.0.2.1":               {"The gateway answers 403 Forbidden"},
		"/explain?url=https://x.team-b.test/&header=Accept:+a/b":             {"Goes to team-b/images/80."},
		"/explain?url=https://admin.shop.test/&from=10.0.0.1":                {"The gateway answers 401"},
		"/explain?url=https://admin.shop.test/&from=10.0.0.1&logged-in=root": {"Goes to shop/admin/8443/https."},
	} {
		var verdicts []string
		page := s.page(address)
		for _, e := range elements(page, "p") {
			if strings.HasPrefix(attribute(e, "class"), "verdict") {
				verdicts = append(verdicts, textOf(elements(e, "strong")[0]))
			}
		}
		if len(verdicts) != len(want) {
			t.Errorf("%s: %q, want %q", address, verdicts, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(verdicts[i], want[i]) {
				t.Errorf("%s: %q, want %q", address, verdicts[i], want[i])
			}
		}
		checkPage(t, address, page)
	}
	if text := textOf(s.page("/explain?url=https://x.team-b.test/&header=Accept:+a/b")); !strings.Contains(text, "Accept a/b") {
		t.Error("what the asker has sent is not told")
	}
	for _, e := range elements(s.page("/explain?url=https://admin.shop.test/&logged-in=root"), "input") {
		if attribute(e, "name") == "logged-in" && attribute(e, "value") != "root" {
			t.Error("the form forgets who has logged in")
		}
	}
}

// TestPaging: a page that is not there is the nearest one, and links keep the rest of the query.
func TestPaging(t *testing.T) {
	items := make([]int, 2*pageMax+1)
	for page, want := range map[string]paging{
		"":   {Page: 1, Pages: 3, Total: 201, First: 1, Last: 100, Next: "hosts?page=2&q=x"},
		"2":  {Page: 2, Pages: 3, Total: 201, First: 101, Last: 200, Prev: "hosts?page=1&q=x", Next: "hosts?page=3&q=x"},
		"9":  {Page: 3, Pages: 3, Total: 201, First: 201, Last: 201, Prev: "hosts?page=2&q=x"},
		"-1": {Page: 1, Pages: 3, Total: 201, First: 1, Last: 100, Next: "hosts?page=2&q=x"},
	} {
		part, got := cut(items, httptest.NewRequest(http.MethodGet, "/hosts?q=x&page="+page, nil))
		if got != want || len(part) != want.Last-want.First+1 {
			t.Errorf("page %q: %+v of %d, want %+v", page, got, len(part), want)
		}
	}
	if _, got := cut([]int(nil), httptest.NewRequest(http.MethodGet, "/hosts", nil)); got != (paging{Page: 1, Pages: 1}) {
		t.Errorf("nothing: %+v", got)
	}
}

// TestPicture: it has what the table has, within its bounds.
func TestPicture(t *testing.T) {
	v := shopView(t)
	h := v.index().byHost[hostID{"https", "shop.test"}]
	places := make([]routeAt, len(h.routes))
	for i := range places {
		places[i] = routeAt{h, i}
	}
	p := v.picture(h, v.routeRows(places))
	kinds := map[string]int{}
	for _, b := range p.Boxes {
		kinds[b.Kind]++
		if b.X < 0 || b.Y < 0 || b.X+b.Width > p.Width || b.Y+b.Height > p.Height {
			t.Errorf("%+v is outside of %d x %d", b, p.Width, p.Height)
		}
	}
	if kinds["host"] != 1 || kinds["route"] != 4 || kinds["service"] != 5 || kinds["endpoint"] != 12 || p.More != 0 {
		t.Errorf("%v, %d more", kinds, p.More)
	}
	var rows []routeRow
	for range 1000 {
		rows = append(rows, v.routeRow(places[0]))
	}
	many := *h
	many.routes = make([]*model.Route, 1000)
	for i := range many.routes {
		many.routes[i] = h.routes[0]
	}
	if p := v.picture(&many, rows); len(p.Boxes) > 100 || p.More != 1000-pictureRoutesMax {
		t.Errorf("%d boxes, %d more", len(p.Boxes), p.More)
	}
}

// TestDiffPage compares what is served with what was.
func TestDiffPage(t *testing.T) {
	v := shopView(t)
	type page struct {
		From, To xds.Revision
		Classes  []struct {
			Kind    string
			Witness struct{ URL, ExplainLink string }
		}
	}
	if got := dataOf[page](t, v, "/diff"); got.From != 0 || len(got.Classes) != 0 {
		t.Errorf("with nothing to compare: %+v", got)
	}
	before := viewOf(t, strings.ReplaceAll(shopText(t), "path: /team-b", "path: /team-c"))
	v.Earlier = []Moment{{Revision: 6, At: testTime, Gateway: before.Result.Gateway, Diagnostics: before.Result.Diagnostics}}
	got := dataOf[page](t, v, "/diff")
	if got.From != 6 || got.To != 7 || len(got.Classes) == 0 || got.Classes[0].Witness.URL == "" || !strings.HasPrefix(got.Classes[0].Witness.ExplainLink, "explain?") {
		t.Errorf("%+v", got)
	}
	if got := dataOf[page](t, v, "/diff?from=7&to=7"); len(got.Classes) != 0 {
		t.Errorf("with itself: %+v", got)
	}
}

// TestPlural: its words are those of the pages.
func TestPlural(t *testing.T) {
	for word, want := range map[string]string{"day": "2 days", "proxy": "2 proxies", "address": "2 addresses", "route": "2 routes"} {
		if got := plural(2, word); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := plural(1, "day"); got != "1 day" {
		t.Error(got)
	}
}
