// Package limits asks a data plane for more than rate limits admit. Unlike a case's probes, what becomes of a request here
// depends on those before it. Periods are of hours, so that no clock matters.
package limits

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator"
)

// world has routes with limits; %s stands for an Ingress more, or none.
const world = `Rate limits.

-- input.yaml --
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}
---
%s-- settings.yaml --
trusted-proxies: 127.0.0.9/32
-- probes.txt --
GET http://client.test/
  -> 200 default/web/80 /
`

// ingress is one with a rate limit.
func ingress(name, host, limit, more string) string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: %s
  namespace: default
  annotations:
    traefik.ingress.kubernetes.io/rate-limit: "%s"%s
spec:
  rules:
  - host: "%s"
    http: {paths: [{path: "/", pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
`, name, limit, more, host)
}

const (
	twoAnHour = "rateset: {a: {period: 1h, average: 1, burst: 2}}}"
	byClient  = "{extractorfunc: client.ip, " + twoAnHour
)

var limited = ingress("client", "client.test", byClient, "") +
	ingress("host", "host.test", "{extractorfunc: request.host, "+twoAnHour, "") +
	ingress("wild", "*.wild.test", "{extractorfunc: request.host, "+twoAnHour, "") +
	ingress("header", "header.test", "{extractorfunc: request.header.X-Key, "+twoAnHour, "") +
	ingress("both", "both.test", "{extractorfunc: client.ip, rateset: {a: {period: 2h, average: 1, burst: 3}, b: {period: 1h, average: 1, burst: 1}}}", "") +
	ingress("redirect", "redirect.test", byClient, "\n    traefik.ingress.kubernetes.io/ssl-redirect: \"true\"")

// asked is a request and the status that it must get, in the order in which they are sent.
var asked = []struct {
	probe string
	want  int
}{
	{"http://client.test/", 200}, {"http://client.test/", 200}, {"http://client.test/", 429}, {"http://client.test/x", 429},
	{"http://client.test/  X-Forwarded-For: 192.0.2.1", 429}, // what a client says of itself counts for nothing
	{"http://client.test/  from 127.0.0.2", 200},
	{"https://client.test/", 200}, // each entry counts for itself
	// A trusted proxy tells who the client is; those whom it does not tell legibly are one.
	{"http://client.test/  from 127.0.0.9  X-Forwarded-For: 192.0.2.1", 200}, {"http://client.test/  from 127.0.0.9  X-Forwarded-For: 192.0.2.1", 200},
	{"http://client.test/  from 127.0.0.9  X-Forwarded-For: 192.0.2.1", 429}, {"http://client.test/  from 127.0.0.9  X-Forwarded-For: 192.0.2.2", 200},
	{"http://client.test/  from 127.0.0.9  X-Forwarded-For: a", 200}, {"http://client.test/  from 127.0.0.9  X-Forwarded-For: b", 200},
	{"http://client.test/  from 127.0.0.9  X-Forwarded-For: c", 429},
	// A host is one in every spelling.
	{"http://host.test/", 200}, {"http://HOST.test:81/  from 127.0.0.2", 200}, {"http://host.test./", 429},
	{"http://a.wild.test/", 200}, {"http://a.wild.test/", 200}, {"http://a.wild.test/", 429}, {"http://b.wild.test/", 200},
	{"http://header.test/  X-Key: a", 200}, {"http://header.test/  X-Key: a", 200}, {"http://header.test/  X-Key: a", 429}, {"http://header.test/  X-Key: b", 200},
	{"http://header.test/", 200}, {"http://header.test/", 200}, {"http://header.test/", 429}, {"http://header.test/  X-Key: ", 429}, {"http://header.test/  X-Key: absent", 200},
	// Of two rates both hold. A refused request has taken from the slower.
	{"http://both.test/", 200}, {"http://both.test/", 429}, {"http://both.test/", 429},
	{"http://redirect.test/", 301}, {"http://redirect.test/", 301}, {"http://redirect.test/", 301}, {"https://redirect.test/", 200},
	{"https://redirect.test/", 200}, {"https://redirect.test/", 429},
}

// Run asks a data plane, and again after an edit, which fills the buckets.
func Run(t *testing.T, court casetest.Court) {
	c := parse(t, limited)
	j := court.Open(t, c)
	publish(t, j, c)
	for i, a := range asked {
		check(t, j, fmt.Sprintf("request %d", i), a.probe, a.want)
	}
	publish(t, j, parse(t, limited+ingress("more", "more.test", byClient, "")))
	check(t, j, "after an edit", "http://client.test/", http.StatusOK)
}

func parse(t *testing.T, ingresses string) *casetest.Case {
	t.Helper()
	c, err := casetest.Parse(t, "limits", fmt.Appendf(nil, world, ingresses))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publish(t *testing.T, j casetest.Judge, c *casetest.Case) {
	t.Helper()
	objects, settings := c.World(t)
	if err := j.Publish(translator.Translate(objects, settings)); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, j casetest.Judge, when, probe string, want int) {
	t.Helper()
	words := strings.Split(probe, "  ")
	p := casetest.NewProbe(http.MethodGet, words[0])
	for _, w := range words[1:] {
		if from, ok := strings.CutPrefix(w, "from "); ok {
			p.From = netip.MustParseAddr(from)
		} else if name, value, ok := strings.Cut(w, ": "); ok {
			p.Header.Set(name, value)
		}
	}
	answer, err := j.Ask(p)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != want {
		t.Errorf("%s, %s: status %d, want %d", when, probe, answer.Status, want)
	}
	if want == http.StatusTooManyRequests && answer.Seen != nil {
		t.Errorf("%s, %s: a refused request came to the backend", when, probe)
	}
}
