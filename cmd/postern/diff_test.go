package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shop is a manifest of one Ingress to a Service, whose endpoints are elsewhere.
func shop(service string) string {
	return "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: shop}, spec: {rules: [{host: shop.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: " +
		service + ", port: {number: 80}}}}]}}]}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n" +
		"---\n{apiVersion: v1, kind: Service, metadata: {name: web-v2}, spec: {ports: [{port: 80}]}}\n"
}

func manifestFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// exit is the code by which a command would end.
func exit(t *testing.T, stdin string, args ...string) (out string, code int, err error) {
	t.Helper()
	var buffer strings.Builder
	c := command()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&buffer)
	c.SetErr(&buffer)
	ran, err := c.ExecuteContextC(t.Context())
	return buffer.String(), exitCode(ran, err), err
}

func TestDiffExitCodes(t *testing.T) {
	a, b := manifestFile(t, shop("web")), manifestFile(t, shop("web-v2"))
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"diff", a, a}, 0, "no difference"},
		{[]string{"diff", a, b}, 1, "1 change: 1 goes elsewhere"},
		{[]string{"diff", a, filepath.Join(t.TempDir(), "none")}, 2, ""},
		{[]string{"diff", a}, 2, ""},
		{[]string{"diff", "-", "-"}, 2, ""},
		{[]string{"diff", a, b, "--nonsense"}, 2, ""},
		{[]string{"diff", a, "http://127.0.0.1:1"}, 2, ""},
		{[]string{"lint", "--nonsense"}, 1, ""},
	} {
		out, code, err := exit(t, "", tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q ends with %d, %v; want %d and %q in:\n%s", tt.args, code, err, tt.code, tt.want, out)
		}
	}
	if out, code, err := exit(t, shop("web-v2"), "diff", a, "-"); code != 1 || !strings.Contains(out, "- default/web/80") {
		t.Errorf("standard input: %d, %v:\n%s", code, err, out)
	}
}

func TestDiffJSON(t *testing.T) {
	out, _, err := exit(t, "", "diff", "-o", "json", "--ignore-endpoints", manifestFile(t, shop("web")), manifestFile(t, shop("web-v2")))
	var report struct {
		Classes []struct {
			Kind, Before, After string
			Witness             struct{ Command, Before, After string }
		}
		Summary string
	}
	if !errors.Is(err, errFindings) || json.Unmarshal([]byte(out), &report) != nil || len(report.Classes) != 1 {
		t.Fatalf("%v:\n%s", err, out)
	}
	c := report.Classes[0]
	if c.Kind != "goes elsewhere" || c.Before != "default/web/80" || c.After != "default/web-v2/80" || c.Witness.Command != "postern explain http://shop.test/" || report.Summary != "1 change: 1 goes elsewhere" {
		t.Errorf("%+v", report)
	}
}

// TestDiffBootstrap: a bootstrap is compared by the model in it, and refused where that is not there, or not the file's.
func TestDiffBootstrap(t *testing.T) {
	a := manifestFile(t, shop("web"))
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if _, errs, err := run(t, "", "translate", "-f", a, "-o", "bootstrap", "--to", file); err != nil {
		t.Fatal(err, errs)
	}
	if out, code, err := exit(t, "", "diff", file, a); code != 0 {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
	if out, code, err := exit(t, "", "diff", file, manifestFile(t, shop("web-v2"))); code != 1 || !strings.Contains(out, "goes elsewhere") {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
	enforced := filepath.Join(t.TempDir(), "envoy.yaml")
	if _, errs, err := run(t, "", "translate", "-f", a, "--https-enforced", "-o", "bootstrap", "--to", enforced); err != nil {
		t.Fatal(err, errs)
	}
	if out, code, err := exit(t, "", "diff", enforced, a); code != 0 || !strings.Contains(out, "--https-enforced=true") {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole, _, _ := strings.Cut(string(text), "# What postern diff compares")
	for want, edited := range map[string]string{
		"it was edited after it was written":                strings.Replace(string(text), "shop.test", "shoq.test", 1),
		"it was edited after it was written, so that":       string(text[:len(text)-20]) + "\n",
		"it has no model to compare: it was written by an ": whole,
	} {
		if _, code, err := exit(t, "", "diff", manifestFile(t, edited), a); code != 2 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d, %v; want %q", code, err, want)
		}
	}
}

// TestDiffLive: manifests are read by the flags of the server that they are compared with, but for what the command line says;
// what either made up, its certificate, makes no difference.
func TestDiffLive(t *testing.T) {
	manifests, other := manifestFile(t, shop("web")), manifestFile(t, shop("web-v2"))
	flags := []string{"--http=0.0.0.0:8080", "--https=0.0.0.0:8443", "--https-public-port=443", "--https-enforced", "--trusted-proxies=10.0.0.0/8,192.0.2.1"}
	url := liveServer(t, manifests, nil, flags...).URL + "/postern"
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{url, manifests}, 0, []string{"no difference", manifests + " is read by the flags of " + url + ": " + strings.Join(flags[:1], ""), "--https-enforced=true --https-public-port=443 --trusted-proxies=10.0.0.0/8,192.0.2.1"}},
		{[]string{manifests, url}, 0, []string{"no difference"}},
		{[]string{url, other}, 1, []string{"1 change: 1 goes elsewhere"}},
		{[]string{url, manifests, "--https-enforced=false"}, 1, []string{"1 other policy"}},
		{[]string{url, url}, 0, []string{"no difference"}},
	} {
		out, code, err := exit(t, "", append([]string{"diff"}, tt.args...)...)
		if code != tt.code {
			t.Errorf("%q: %d, %v:\n%s", tt.args, code, err, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q: want %q in\n%s", tt.args, want, out)
			}
		}
	}
}

// TestDiffClasses: manifests without the IngressClass are compared as those of a cluster that has it, and those of another
// class are not served.
func TestDiffClasses(t *testing.T) {
	const class = "---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: edge}, spec: {controller: postern.dev/ingress-controller}}\n"
	of := func(name string) string {
		return strings.Replace(shop("web"), "spec: {rules", "spec: {ingressClassName: "+name+", rules", 1)
	}
	controller := []string{"--controller-name", "postern.dev/ingress-controller"}
	url := liveServer(t, manifestFile(t, of("edge")+class), nil, controller...).URL + "/postern"
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if _, errs, err := run(t, "", append([]string{"translate", "-f", manifestFile(t, of("edge")+class), "-o", "bootstrap", "--to", file}, controller...)...); err != nil {
		t.Fatal(err, errs)
	}
	for _, made := range []string{url, file} {
		if out, code, err := exit(t, "", "diff", made, manifestFile(t, of("edge"))); code != 0 {
			t.Errorf("%d, %v:\n%s", code, err, out)
		}
		if out, code, err := exit(t, "", "diff", made, manifestFile(t, of("other"))); code != 1 || !strings.Contains(out, "1 change: 1 removed") {
			t.Errorf("%d, %v:\n%s", code, err, out)
		}
	}
}

// TestDiffOtherVersion: a flag that is not known here is told of, and nothing is compared without it.
func TestDiffOtherVersion(t *testing.T) {
	manifests := manifestFile(t, shop("web"))
	server := liveServer(t, manifests, nil)
	later := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/settings" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"flags": {"http": ["127.0.0.1:8080"], "teleport": ["on"]}}`))
			return
		}
		r.URL.Path = "/postern" + r.URL.Path
		server.Config.Handler.ServeHTTP(w, r)
	}))
	defer later.Close()
	if out, code, err := exit(t, "", "diff", later.URL, manifests); code != 2 || err == nil || !strings.Contains(err.Error(), "--teleport, which is not known here") {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
}

// TestDiffApply: B is A with the objects of its manifests; what they do not name stays, endpoints among it.
func TestDiffApply(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"shop.yaml": shop("web"), "blog.yaml": strings.ReplaceAll(shop("web"), "shop", "blog")} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(strings.Split(text, "---")[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	services := "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: web-v2}, spec: {ports: [{port: 80}]}}\n"
	if err := os.WriteFile(filepath.Join(folder, "services.yaml"), []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	edit := manifestFile(t, strings.Split(shop("web-v2"), "---")[0])
	out, code, err := exit(t, "", "diff", "--ignore-endpoints", "--apply", folder, edit)
	if code != 1 || !strings.Contains(out, "1 change: 1 goes elsewhere") || !strings.Contains(out, "+ default/web-v2/80") {
		t.Errorf("%d, %v:\n%s", code, err, out)
	}
	if out, code, err := exit(t, shop("web"), "diff", "--apply", folder, "-"); code != 0 {
		t.Errorf("what is there already: %d, %v:\n%s", code, err, out)
	}
	bootstrap := filepath.Join(t.TempDir(), "envoy.yaml")
	if _, errs, err := run(t, "", "translate", "-f", folder, "-o", "bootstrap", "--to", bootstrap); err != nil {
		t.Fatal(err, errs)
	}
	for _, tt := range []struct{ a, b, want string }{
		{"live", edit, "live has no objects that others could be applied to"}, {"http://node", edit, "http://node has no objects"}, {bootstrap, edit, "has no objects"},
		{folder, "cluster", "cluster is no manifests to apply"}, {folder, "http://node", "http://node is no manifests"}, {folder, bootstrap, "is no manifests"},
		{folder, filepath.Join(folder, "none"), "does not exist"},
	} {
		if _, code, err := exit(t, "", "diff", "--apply", tt.a, tt.b); code != 2 || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %d, %v", tt.a, tt.b, code, err)
		}
	}
}
