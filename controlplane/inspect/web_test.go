package inspect

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
)

// testTime is when the views of tests are looked at.
var testTime = time.Now().Truncate(time.Second)

// publicationOf translates a case's text.
func publicationOf(t testing.TB, text string) controller.Publication {
	t.Helper()
	c, err := casetest.Parse(t, "inspect", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	world, settings := c.World(t)
	p := controller.Publication{Revision: 7, World: world, Result: translator.Translate(world, settings)}
	if p.Snapshot, err = controller.Snapshot(nil, p.Result); err != nil {
		t.Fatal(err)
	}
	return p
}

// viewOf is the view of a case's text, with no proxy.
func viewOf(t testing.TB, text string) View {
	t.Helper()
	return View{Publication: publicationOf(t, text), At: testTime.Add(-time.Minute), Now: testTime, Version: "v1.2.3", lazy: &lazyIndex{}}
}

// shopText is the world of most tests.
func shopText(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/shop.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shopView is a view of it with two proxies: one in sync, one that refuses.
func shopView(t testing.TB) View {
	v := viewOf(t, shopText(t))
	v.Proxies = []xds.ProxyState{
		{Node: "edge-1", Cluster: "edge", Connected: testTime.Add(-time.Hour), Revision: 7, Types: []xds.TypeState{{TypeURL: resource.ClusterType, Wildcard: true}}},
		{Node: "edge-2", Connected: testTime.Add(-time.Minute), Revision: 5, Types: []xds.TypeState{{
			TypeURL: resource.RouteType, Subscribed: []string{"http", "https"}, Accepted: []xds.NamedVersion{{Name: "https", Version: "1"}},
			Refused: []xds.NamedVersion{{Name: "http", Version: "2"}}, Pending: []string{"http"},
			LastNACK: &xds.NACK{
				Time: testTime.Add(-time.Second), TypeURL: resource.RouteType, Revision: 6, Words: `no such <b>filter</b> "x"`,
				Resources: []string{"http"}, Blamed: []string{"http"}, Origins: []diag.Origin{{Kind: "Ingress", Namespace: "shop", Name: "cart"}},
			},
		}}},
	}
	return v
}

// many is a case's text of as many Ingresses, a thousand routes on one host among them.
func many(ingresses int) string {
	var b strings.Builder
	b.WriteString("Many Ingresses.\n\n-- settings.yaml --\n{}\n-- input.yaml --\n")
	for i := range ingresses {
		host, path := fmt.Sprintf("app-%d.example.com", i), "/"
		if i < ingresses/5 {
			host, path = "shared.example.com", fmt.Sprintf("/app-%d", i)
		}
		service := fmt.Sprintf("svc-%d", i%500)
		fmt.Fprintf(&b, `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: app-%d, namespace: team-%d, annotations: {traefik.ingress.kubernetes.io/redirect-entry-point: https}}, `+
			`spec: {ingressClassName: traefik, rules: [{host: %s, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}]}}]}}`+"\n---\n",
			i, i%50, host, path, service)
		if i < 500 {
			for team := i % 50; team < 50; team += 50 {
				fmt.Fprintf(&b, "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: team-%d}, spec: {ports: [{port: 80}]}}\n---\n", service, team)
				if i%97 != 5 {
					fmt.Fprintf(&b, "{apiVersion: v1, kind: Endpoints, metadata: {name: %s, namespace: team-%d}, subsets: [{addresses: [{ip: 10.0.%d.%d}], ports: [{port: 8080}]}]}\n---\n", service, team, i/200, i%200+1)
				}
			}
		}
	}
	return b.String()
}
