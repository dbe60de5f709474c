package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bare is a manifest of one Ingress alone, to a port by its name or number.
func bare(service, port, annotations string) string {
	return "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: shop, namespace: shop, annotations: {kubernetes.io/ingress.class: traefik" + annotations +
		"}}, spec: {rules: [{host: shop.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: " + service + ", port: {" + port + "}}}}]}}]}}\n"
}

const webService = "---\n{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{name: http, port: 80}]}}\n"

// TestDiffWithoutServices: what Ingresses ask for is compared though their Services are not among the manifests, and where it
// is not, that is told.
func TestDiffWithoutServices(t *testing.T) {
	web := bare("web", "number: 80", "")
	for _, tt := range []struct {
		name, a, b string
		code       int
		want       string
	}{
		{"another backend", web, bare("cart", "number: 80", ""), 1, "- shop/web/80"},
		{"an annotation", web, bare("web", "number: 80", ", ingress.kubernetes.io/whitelist-source-range: 10.0.0.0/8"), 1, "other policy: access"},
		{"another name of a port", bare("web", "name: http", ""), bare("web", "name: admin", ""), 1, "+ shop/web/admin"},
		{"a Service on one side", web, web + webService, 0, "no difference"},
		{"a port by its name, and the Service on the other side", bare("web", "name: http", ""), web + webService, 0, "no difference"},
		{"a port that the Service has not", web + webService, bare("web", "number: 81", "") + webService, 1, "+ 503"},
		{"an auth server", web, bare("web", "number: 80", ", ingress.kubernetes.io/auth-type: forward, ingress.kubernetes.io/auth-url: 'http://auth.shop.svc/'"), 1, "other policy: authentication"},
	} {
		a, b := manifestFile(t, tt.a), manifestFile(t, tt.b)
		out, code, err := exit(t, "", "diff", "--ignore-endpoints", a, b)
		if code != tt.code || !strings.Contains(out, tt.want) || strings.Contains(out, "among the manifests") || !strings.Contains(tt.b, "kind: Service") && strings.Contains(out, "Service shop") {
			t.Errorf("%s: %d, %v; want %d and %q in\n%s", tt.name, code, err, tt.code, tt.want, out)
		}
		if out, code, err := exit(t, tt.a, "diff", "--ignore-endpoints", "-", b); code != tt.code {
			t.Errorf("%s, of standard input: %d, %v:\n%s", tt.name, code, err, out)
		}
	}
	out, code, err := exit(t, web, "diff", "-", manifestFile(t, bare("cart", "number: 80", "")))
	for _, want := range []string{"standard input: Services that are not among the manifests: shop/web; for want of them 1 path answers 503. --ignore-endpoints", "manifests: shop/cart;", "no difference"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("without the flag: %d, %v; want %q in\n%s", code, err, want, out)
		}
	}
	lacking := bare("web", "number: 81", "") + webService
	if out, _, _ := exit(t, "", "diff", manifestFile(t, web+webService), manifestFile(t, lacking)); strings.Contains(out, "among") {
		t.Errorf("told though nothing is missing:\n%s", out)
	}
	folder := filepath.Dir(manifestFile(t, web))
	if out, code, err := exit(t, bare("cart", "number: 80", ""), "diff", "--ignore-endpoints", "--apply", folder, "-"); code != 1 || !strings.Contains(out, "+ shop/cart/80") {
		t.Errorf("--apply: %d, %v\n%s", code, err, out)
	}
}

// TestDiffWithoutServicesLive: manifests without Services are what a server has of them, by port names and ExternalNames too.
func TestDiffWithoutServicesLive(t *testing.T) {
	external := strings.ReplaceAll(bare("outside", "name: http", ""), "name: shop,", "name: outside,")
	external = strings.ReplaceAll(external, "shop.test", "outside.test")
	ingresses := bare("web", "name: http", "") + "---\n" + external
	services := webService + "---\n{apiVersion: v1, kind: Service, metadata: {name: outside, namespace: shop}, spec: {type: ExternalName, externalName: web.shop.svc, ports: [{name: http, port: 80}]}}\n"
	url := liveServer(t, manifestFile(t, ingresses+services), nil).URL + "/postern"
	if out, code, err := exit(t, "", "diff", "--ignore-endpoints", url, manifestFile(t, ingresses)); code != 0 {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
	if out, code, err := exit(t, "", "diff", "--ignore-endpoints", url, manifestFile(t, strings.ReplaceAll(ingresses, "name: web", "name: cart"))); code != 1 || !strings.Contains(out, "+ shop/cart/http") {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
}

// TestDiffWithoutSecrets: which Secrets manifests refer to and do not have is told, since what needs them is closed.
func TestDiffWithoutSecrets(t *testing.T) {
	auth := ", ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: users"
	a := manifestFile(t, bare("web", "number: 80", auth)+webService)
	out, code, err := exit(t, "", "diff", a, manifestFile(t, bare("web", "name: http", auth)+webService))
	if code != 0 || strings.Count(out, "not among the manifests: Secret shop/users. What needs them is compared") != 2 {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
}

// TestDiffMistakes: what is written amiss is refused with what to write.
func TestDiffMistakes(t *testing.T) {
	a := manifestFile(t, shop("web"))
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "cluster"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	t.Setenv("KUBECONFIG", filepath.Join(folder, "none"))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{a, ""}, "a side is empty"},
		{[]string{"", a}, "a side is empty"},
		{[]string{"-f", a}, "the sides are written without flags"},
		{[]string{"--server", "http://node", a}, "the sides are written without flags"},
		{[]string{"--nonsense", a, a}, "unknown flag: --nonsense\nsee"},
		{[]string{"127.0.0.1:1", a}, "http://127.0.0.1:1: nothing listens there"},
		{[]string{"http://node/?x", a}, "the side http://node/?x: write the address alone"},
		{[]string{"http://bob:canary@node", a}, "the side has a user name"},
		{[]string{a, "cluster"}, "the path of that name is ./cluster"},
		{[]string{"--apply", "cluster", a}, "the path of that name is ./cluster"},
		{[]string{a, "live"}, "the path of manifests may stand in its place"},
	} {
		_, code, err := exit(t, "", append([]string{"diff"}, tt.args...)...)
		if code != 2 || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q ends with %d, %v; want %q", tt.args, code, err, tt.want)
		}
	}
	if err := os.WriteFile("a:1", []byte(shop("web")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code, err := exit(t, "", "diff", "a:1", a); code != 0 {
		t.Errorf("a file whose name is like an address: %d, %v\n%s", code, err, out)
	}
}
