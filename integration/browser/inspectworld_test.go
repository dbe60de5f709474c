package browser

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// inspected is a running postern up, with its manifests and the address of its inspection pages.
type inspected struct {
	gateway
	pages  string
	folder string
}

// inspect serves manifests; those of a name that ends with .yaml. The pages are also below /postern, for reader with the
// password sesame.
func inspect(t *testing.T, binary string, manifests map[string]string, flags ...string) inspected {
	t.Helper()
	i := inspected{folder: t.TempDir()}
	for name, text := range manifests {
		i.write(t, name, text)
	}
	i.http, i.https = traffic.Entries(t)
	pages := traffic.Address(t)
	i.write(t, "postern.yaml", underPostern)
	found := start(t, []string{`looked at on (http://\S+)`, `^(serving) `}, binary, append([]string{
		"up", "-f", i.folder, "--http", i.http, "--https", i.https, "--inspect", pages, "--backend", "postern/inspect:80=" + pages,
	}, flags...)...)
	i.pages = found[0]
	return i
}

func (i inspected) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// underPostern leads from /postern to the inspection pages, which know nothing of that prefix. The user is reader, with
// sesame in SHA-1.
const underPostern = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: inspect
  namespace: postern
  annotations:
    traefik.ingress.kubernetes.io/rule-type: PathPrefixStrip
    ingress.kubernetes.io/auth-type: basic
    ingress.kubernetes.io/auth-secret: readers
spec: {rules: [{http: {paths: [{path: /postern, pathType: ImplementationSpecific, backend: {service: {name: inspect, port: {number: 80}}}}]}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: readers, namespace: postern}
stringData: {auth: "reader:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw="}
`

// fewIngresses are ten with what pages tell of: what is healthy, degraded and failing, conflicts, policies, certificates.
func fewIngresses(t *testing.T) map[string]string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "web") }))
	t.Cleanup(web.Close)
	// Nobody trusts the certificate of this one.
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.Config.ErrorLog = quietLog
	secure.StartTLS()
	t.Cleanup(secure.Close)
	pair := casetest.NewPair("shop.test,*.shop.test", casetest.SignedByCA)
	var b strings.Builder
	ingress := func(namespace, name, annotations, host string, paths ...string) {
		fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: %s, namespace: %s, annotations: {%s}}\nspec:\n  rules:\n  - host: %q\n    http:\n      paths:\n", name, namespace, annotations, host)
		for i := 0; i < len(paths); i += 2 {
			fmt.Fprintf(&b, "      - {path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}\n", paths[i], paths[i+1])
		}
	}
	ingress("shop", "web", `traefik.ingress.kubernetes.io/redirect-entry-point: https, ingress.kubernetes.io/hsts-max-age: "31536000"`, "shop.test", "/", "web", "/images", "images")
	ingress("shop", "cart", `ingress.kubernetes.io/whitelist-source-range: "10.0.0.0/8, 127.0.0.0/8", ingress.kubernetes.io/custom-request-headers: "X-Api-Key:canary-value||X-Team:cart"`, "shop.test", "/cart", "web")
	ingress("shop", "admin", `postern.dev/backend-protocol: https`, "admin.shop.test", "/", "admin")
	ingress("shop", "closed", `ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: there-is-none`, "closed.shop.test", "/", "web")
	ingress("shop", "empty", "", "empty.shop.test", "/", "nobody")
	ingress("team-b", "late", "", "shop.test", "/images", "web", "/team-b", "web")
	ingress("team-b", "mistaken", `traefik.ingress.kubernetes.io/priority: high, traefik.ingress.kubernetes.io/rule-typ: PathStrip`, "*.team-b.test", "/", "web")
	ingress("team-b", "a-name-as-long-as-those-that-generators-of-manifests-like-to-make-of-them", "", "a-host-name-that-is-as-long-as-those-of-review-apps.some-branch.team-b.test", "/a/path/with/many/elements/and/then/some/more", "web")
	ingress("team-b", "missing", "", "missing.test", "/", "there-is-none")
	service := func(namespace, name, address string) {
		fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {ports: [{port: 80}]}}\n", name, namespace)
		if host, port, ok := strings.Cut(address, ":"); ok {
			fmt.Fprintf(&b, "---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, namespace: %s, labels: {kubernetes.io/service-name: %s}}, addressType: IPv4, "+
				"endpoints: [{addresses: [%s]}, {addresses: [10.0.0.9], conditions: {ready: %v}}], ports: [{port: %s, protocol: TCP}]}\n", name, namespace, name, host, name != "images", port)
		}
	}
	service("shop", "web", web.Listener.Addr().String())
	service("shop", "images", web.Listener.Addr().String())
	service("shop", "admin", secure.Listener.Addr().String())
	service("shop", "nobody", "")
	service("team-b", "web", web.Listener.Addr().String())
	fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Secret, metadata: {name: cert, namespace: shop}, type: kubernetes.io/tls, data: {tls.crt: %s, tls.key: %s}}\n",
		base64.StdEncoding.EncodeToString(pair.Certificate), base64.StdEncoding.EncodeToString(pair.Key))
	fmt.Fprint(&b, "---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: tls, namespace: shop}, spec: {tls: [{hosts: [shop.test, \"*.shop.test\"], secretName: cert}], "+
		"rules: [{host: tls.shop.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}\n")
	return map[string]string{"few.yaml": b.String()}
}

// manyIngresses are five thousand, a thousand of them on one host.
func manyIngresses() map[string]string {
	files := map[string]string{}
	for team := range 50 {
		var b strings.Builder
		for i := range 100 {
			n := team*100 + i
			host, path := fmt.Sprintf("app-%d.example.com", n), "/"
			if n%5 == 0 {
				host, path = "shared.example.com", fmt.Sprintf("/app-%d", n)
			}
			fmt.Fprintf(&b, "---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: app-%d, namespace: team-%d, annotations: {traefik.ingress.kubernetes.io/redirect-entry-point: https}}, "+
				"spec: {rules: [{host: %s, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: svc-%d, port: {number: 80}}}}]}}]}}\n", n, team, host, path, i%20)
		}
		for i := range 20 {
			fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Service, metadata: {name: svc-%d, namespace: team-%d}, spec: {ports: [{port: 80}]}}\n", i, team)
			if i != 7 || team%10 != 3 {
				fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Endpoints, metadata: {name: svc-%d, namespace: team-%d}, subsets: [{addresses: [{ip: 10.0.%d.%d}], ports: [{port: 8080}]}]}\n", i, team, team, i+1)
			}
		}
		files[fmt.Sprintf("team-%d.yaml", team)] = b.String()
	}
	return files
}
