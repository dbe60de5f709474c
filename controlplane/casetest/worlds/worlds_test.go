package worlds

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

const worldsDrawn = 100

// TestDraw: one seed gives one world and its requests, another seed others; each can be written down as a case.
func TestDraw(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(worldsDrawn) {
		w := Draw(seed, DrawSettings(seed))
		again := Draw(seed, DrawSettings(seed))
		text := w.Case("A world.", "")
		if !bytes.Equal(text, again.Case("A world.", "")) || !reflect.DeepEqual(w.Probes(5), again.Probes(5)) {
			t.Fatalf("seed %d draws two worlds", seed)
		}
		seen[string(text)] = true
		var probes strings.Builder
		for _, p := range w.Probes(5) {
			probes.WriteString(p.Text() + "\n  -> 200\n")
		}
		c, err := casetest.Parse(t, "world", w.Case("A world.", probes.String()))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, p := range w.Probes(5) {
			if got := c.Steps[0].Probes[i]; got.Text() != p.Text() || got.Method != p.Method || got.From != p.From {
				t.Errorf("seed %d: %q reads as %q", seed, p.Text(), got.Text())
			}
		}
		if objects, _ := c.World(t); len(objects.Diagnostics) > 0 {
			t.Errorf("seed %d: the manifests are complained of: %v", seed, objects.Diagnostics)
		}
	}
	if len(seen) < worldsDrawn {
		t.Errorf("%d seeds draw %d worlds", worldsDrawn, len(seen))
	}
}

// TestWithout: nothing stays that only the Ingress needed, and the world itself stays as it is.
func TestWithout(t *testing.T) {
	w := Draw(1, Settings{})
	before := w.Case("A world.", "")
	less := w
	for len(less.Ingresses) > 0 {
		less = less.Without(0)
	}
	if len(less.Services) > 0 || len(less.Others) > 0 {
		t.Errorf("without any Ingress there are still %d Services and %v", len(less.Services), less.Others)
	}
	if !bytes.Equal(before, w.Case("A world.", "")) {
		t.Error("the world itself has changed")
	}
}

// TestEveryFeatureIsDrawn: a feature that no world has tests nothing.
func TestEveryFeatureIsDrawn(t *testing.T) {
	var all strings.Builder
	for seed := range uint64(worldsDrawn) {
		w := Draw(seed, DrawSettings(seed))
		all.Write(w.Case("A world.", ""))
		for _, p := range w.Probes(20) {
			all.WriteString(p.Text() + "\n")
		}
	}
	for _, words := range []string{
		"ingressClassName: traefik", "rule-type: PathPrefixStrip", "priority: ", "ssl-redirect: ", "frontend-entry-points: ", "postern.dev/preserve-host: ",
		"postern.dev/backend-protocol: ", "auth-type: basic", "affinity: ", "Cookie: session=", "max-conn-amount: ", "max-conn-extractor-func: ", "whitelist-x-forwarded-for: ", "allowed-hosts: ", "rate-limit: ", "{{cert ", "trusted-proxies: ", "X-Forwarded-Proto: https", "Respond: ",
		"X_under: ", "  h2\n", "WS http", "ExternalName", "defaultBackend:", "creationTimestamp: ", "https-public-port: ", "traefik-path-prefix: string",
	} {
		if !strings.Contains(all.String(), words) {
			t.Errorf("no world or request has %q", words)
		}
	}
}
