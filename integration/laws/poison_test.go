package laws

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
)

const (
	poisonFile = "testdata/poison.txtar"
	poisonsMin = 25
	// neighbours are the sound Ingresses that each poisoned one stands among.
	neighbours = 999
)

// poison is an Ingress, with what it refers to, in which something is wrong.
type poison struct {
	name, manifests string
	// code is that of the diagnostic by which its owner is told.
	code diag.Code
}

// TestOnePoisonedIngress: whatever is wrong with one Ingress among a thousand, the other 999 are served, its owner is
// told, and no data plane refuses a resource.
func TestOnePoisonedIngress(t *testing.T) {
	poisons := readPoisons(t)
	if len(poisons) < poisonsMin {
		t.Fatalf("%d kinds of poison, want %d at least", len(poisons), poisonsMin)
	}
	for _, court := range []casetest.Court{live.Go, live.Envoy} {
		t.Run(court.Name, func(t *testing.T) {
			if court.Name == live.Envoy.Name {
				live.NeedEnvoy(t)
			}
			t.Parallel()
			judge := court.Open(t, among(t, poison{name: "none"}))
			for _, p := range poisons {
				t.Run(p.name, func(t *testing.T) { serveAround(t, judge, p) })
			}
		})
	}
}

// serveAround asks every neighbour of a poisoned Ingress.
func serveAround(t *testing.T, judge casetest.Judge, p poison) {
	results, err := among(t, p).Translate()
	if err != nil {
		t.Fatal(err)
	}
	if !tells(results[0], p.code) {
		t.Errorf("no %s tells of the poisoned Ingress: %v", p.code, results[0].Diagnostics)
	}
	if err := judge.Publish(results[0]); err != nil {
		t.Fatal(err)
	}
	for i := range neighbours {
		probe := casetest.Probe{
			Position: p.name, Method: http.MethodGet, URL: "http://" + neighbour(i) + "/", Header: http.Header{},
			From: netip.MustParseAddr("127.0.0.1"),
		}
		a, err := judge.Ask(probe)
		if err != nil || a.Status != http.StatusOK || a.Seen == nil || a.Seen.Backend != "default/web/80" {
			t.Fatalf("GET %s: status %d, %+v, %v", probe.URL, a.Status, a.Seen, err)
		}
	}
}

// tells says whether a diagnostic with a code names one of the objects of the poison, which all are called so.
func tells(r translator.Result, code diag.Code) bool {
	for _, d := range r.Diagnostics {
		if d.Code == code && d.Origin.Name == "poisoned" {
			return true
		}
	}
	return false
}

func neighbour(i int) string { return fmt.Sprintf("host-%d.test", i) }

// among is a case in which a poisoned Ingress stands among its neighbours.
func among(t *testing.T, p poison) *casetest.Case {
	t.Helper()
	var b strings.Builder
	b.WriteString("# A poisoned Ingress among sound ones.\n-- input.yaml --\n")
	for i := range neighbours {
		fmt.Fprintf(&b, "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: neighbour-%d, namespace: default}, spec: {rules: [{host: %s, "+
			"http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}\n---\n", i, neighbour(i))
	}
	b.WriteString(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}
---
`)
	b.WriteString(p.manifests)
	return parse(t, p.name, []byte(b.String()))
}

// readPoisons reads the kinds of poison: in each file, the first line is a comment with the code that tells of it.
func readPoisons(t *testing.T) []poison {
	t.Helper()
	archive, err := txtar.ParseFile(poisonFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []poison
	for _, f := range archive.Files {
		first, manifests, _ := strings.Cut(string(f.Data), "\n")
		code, ok := strings.CutPrefix(first, "# ")
		if !ok {
			t.Fatalf("%s: %s does not begin with the code that tells of it", poisonFile, f.Name)
		}
		// {{a*N}} stands for N times the letter a.
		manifests = strings.NewReplacer("{{a*300}}", strings.Repeat("a", 300), "{{a*100000}}", strings.Repeat("a", 100_000)).Replace(manifests)
		out = append(out, poison{name: f.Name, manifests: manifests, code: diag.Code(code)})
	}
	return out
}
