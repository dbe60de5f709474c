// Package plugin tests postern as a plugin of kubectl, by a real kubectl against a real API server.
package plugin

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/integration/cluster"
)

// binaryVariable is the binary under test: that of POSTERN, which make test sets, or one built here.
const binaryVariable = "POSTERN"

func TestMain(m *testing.M) {
	// Before the network of the tests is made, and once for both processes.
	if os.Getenv(binaryVariable) == "" {
		folder, err := os.MkdirTemp("", "postern-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		path := filepath.Join(folder, "postern")
		build := exec.Command("go", "build", "-o", path, "./cmd/postern")
		build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		_ = os.Setenv(binaryVariable, path)
	}
	os.Exit(cluster.Main(m))
}

// objects are two namespaces with an Ingress each for one host, and what they refer to.
const objects = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: attic}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: users, namespace: shop}, stringData: {users: "bob:{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI="}}
---
{apiVersion: v1, kind: Secret, metadata: {name: canary, namespace: shop}, stringData: {users: canary-credential}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations: {kubernetes.io/ingress.class: traefik, ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: users, traefik.ingress.kubernetes.io/priorty: "1"}
spec:
  rules: [{host: shop.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: old, namespace: attic, annotations: {kubernetes.io/ingress.class: nginx}}
spec:
  rules: [{host: attic.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: narrow, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: shop}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: narrow, namespace: shop}
rules:
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list]}
- {apiGroups: [""], resources: [services], verbs: [get, list]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: narrow, namespace: shop},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: narrow}, subjects: [{kind: ServiceAccount, name: narrow}]}
`

// kubectl runs a real kubectl that finds the plugin in PATH, with a kubeconfig, or none where that is empty.
type kubectl struct {
	path, kubeconfig, plugins string
}

func newKubectl(t *testing.T, c *cluster.Cluster) kubectl {
	t.Helper()
	plugins := t.TempDir()
	binary, err := filepath.Abs(os.Getenv(binaryVariable))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(plugins, "kubectl-postern")); err != nil {
		t.Fatal(err)
	}
	return kubectl{path: c.Kubectl(), plugins: plugins, kubeconfig: cluster.Kubeconfig(t, c.Config)}
}

// run gives standard output, standard error, and the exit code.
func (k kubectl) run(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), k.path, args...)
	var outBuffer, errBuffer bytes.Buffer
	command.Stdout, command.Stderr = &outBuffer, &errBuffer
	command.Env = []string{"PATH=" + k.plugins + ":/usr/bin:/bin", "HOME=" + t.TempDir()}
	if k.kubeconfig != "" {
		command.Env = append(command.Env, "KUBECONFIG="+k.kubeconfig)
	}
	if err := command.Run(); command.ProcessState == nil {
		t.Fatal(err)
	}
	return outBuffer.String(), errBuffer.String(), command.ProcessState.ExitCode()
}

// report is what lint --report -o json prints, as far as it is looked at here.
type report struct {
	Ingresses []struct {
		Origin  struct{ Namespace, Name string }
		Outcome string
	}
	Caveats []string
}

func (k kubectl) report(t *testing.T, args ...string) report {
	t.Helper()
	out, errs, _ := k.run(t, append([]string{"postern", "lint", "--report", "-o", "json"}, args...)...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s\n%s", err, errs, out)
	}
	if strings.Contains(out+errs, "canary-credential") {
		t.Error("a Secret is shown")
	}
	return r
}

// outcomes are those of the Ingresses, in order.
func (r report) outcomes() string {
	var out []string
	for _, i := range r.Ingresses {
		out = append(out, i.Origin.Namespace+"/"+i.Origin.Name+" "+i.Outcome)
	}
	return strings.Join(out, ", ")
}

// TestPlugin: the cluster of the kubeconfig is read where nothing else is named, in the whole or in part.
func TestPlugin(t *testing.T) {
	c := cluster.Start(t)
	c.Apply(t, objects)
	k := newKubectl(t, c)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-A", "--ingress-class", "traefik"}, "attic/old not-served, shop/web incomplete"},
		{[]string{"-n", "shop"}, "shop/web incomplete"},
		{[]string{"--context", "cluster", "-n", "attic"}, "attic/old as-written"},
		{[]string{"-n", "empty"}, ""},
		{nil, ""}, // the context's namespace is default
	} {
		if r := k.report(t, test.args...); r.outcomes() != test.want || len(r.Caveats) > 0 {
			t.Errorf("%q: %s, %q; want %s", test.args, r.outcomes(), r.Caveats, test.want)
		}
	}
	out, errs, code := k.run(t, "postern", "explain", "-n", "shop", "http://shop.test/cart")
	if code != 0 || !strings.Contains(out, "shop/web") {
		t.Errorf("explain ends with %d: %s\n%s", code, errs, out)
	}
	out, errs, code = k.run(t, "postern", "translate", "-o", "json")
	if code != 0 || !strings.Contains(out, "attic.test") || strings.Contains(out, "0JQeaNqPOBUf") {
		t.Errorf("translate ends with %d: %s\n%.1000s", code, errs, out)
	}
	out, errs, code = k.run(t, "postern", "snapshot", "--live=false", "clusters")
	if code != 0 || !strings.Contains(out, "attic/web/80") {
		t.Errorf("snapshot of the objects ends with %d: %s\n%.1000s", code, errs, out)
	}
	out, errs, code = k.run(t, "postern", "lint", "-A", "--report", "-o", "html")
	if code != 0 || !strings.HasPrefix(out, "<!DOCTYPE html>") || !strings.Contains(out, "the cluster of context cluster") {
		t.Errorf("the page: %d: %s\n%.300s", code, errs, out)
	}
	if out, errs, code = k.run(t, "postern", "lint", "--help"); code != 0 || !strings.Contains(out, "kubectl postern lint [flags]") || strings.Contains(out, "  postern lint") {
		t.Errorf("the usage: %d: %s\n%.1500s", code, errs, out)
	}
}

// TestSentences: what cannot be read is told in a sentence, and nothing is printed.
func TestSentences(t *testing.T) {
	c := cluster.Start(t)
	c.Apply(t, objects)
	k := newKubectl(t, c)
	nobody, narrow, none := k, k, k
	nobody.kubeconfig, narrow.kubeconfig, none.kubeconfig = cluster.Kubeconfig(t, c.As(t, "shop", "nobody")), cluster.Kubeconfig(t, c.As(t, "shop", "narrow")), ""
	for _, test := range []struct {
		by   kubectl
		args []string
		want string
	}{
		{k, []string{"lint", "--context", "nope"}, `context "nope" does not exist`},
		{none, []string{"lint", "-A"}, "there is no cluster"},
		{nobody, []string{"lint", "-n", "shop"}, `cannot list resource "ingresses"`},
		{nobody, []string{"lint", "-n", "shop"}, "ask for the ClusterRole view"},
		{narrow, []string{"lint", "-A"}, "in place of -A"},
		{narrow, []string{"explain", "-n", "attic", "http://attic.test/"}, `cannot list resource "ingresses"`},
		{k, []string{"lint", "-A", "-n", "shop"}, "-A and -n shop"},
		{k, []string{"snapshot"}, "no control plane of Postern runs in the cluster"},
		{k, []string{"explain", "--live", "-n", "shop", "http://shop.test/"}, "no control plane of Postern runs in namespace shop"},
		{nobody, []string{"snapshot", "-n", "shop"}, `cannot list resource "pods"`},
		{k, []string{"lint", "-A", "-f", "x"}, "two sources"},
	} {
		out, errs, code := test.by.run(t, append([]string{"postern"}, test.args...)...)
		if code != 1 || out != "" || !strings.Contains(errs, test.want) || !strings.HasPrefix(errs, "kubectl postern: ") {
			t.Errorf("%q ends with %d, want %q:\n%s%s", test.args, code, test.want, errs, out)
		}
	}
}

// TestNoIngress: where a namespace without an Ingress was looked at, it is named, and so is what there is elsewhere.
func TestNoIngress(t *testing.T) {
	c := cluster.Start(t)
	c.Apply(t, objects+`---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: narrow, namespace: default}
rules:
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list]}
- {apiGroups: [""], resources: [services], verbs: [list]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: narrow, namespace: default},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: narrow}, subjects: [{kind: ServiceAccount, name: narrow, namespace: shop}]}
`)
	k := newKubectl(t, c)
	narrow := k
	narrow.kubeconfig = cluster.Kubeconfig(t, c.As(t, "shop", "narrow"))
	for _, test := range []struct {
		by   kubectl
		args []string
		want string
	}{
		{k, nil, "there is no Ingress in namespace default of the cluster of context cluster; 2 Ingresses are elsewhere: -A tells of all"},
		{k, []string{"-n", "sohp"}, "there is no namespace sohp in the cluster of context cluster; 2 Ingresses are elsewhere: -A tells of all"},
		{narrow, []string{"-n", "default"}, "there is no Ingress in namespace default of the cluster of context"},
		{narrow, []string{"-n", "default"}, "those of other namespaces you may not list"},
	} {
		out, errs, code := test.by.run(t, append([]string{"postern", "lint"}, test.args...)...)
		if code != 0 || !strings.Contains(errs, test.want) {
			t.Errorf("%q ends with %d, want %q:\n%s%s", test.args, code, test.want, errs, out)
		}
	}
	if _, errs, _ := k.run(t, "postern", "lint", "-n", "shop"); strings.Contains(errs, "there is no Ingress") {
		t.Errorf("of a namespace with one: %s", errs)
	}
}

// TestFewRights: who may read Ingresses and Services of one namespace only gets a report of it, which says what it is not of.
// Nothing is called missing.
func TestFewRights(t *testing.T) {
	c := cluster.Start(t)
	c.Apply(t, objects)
	k := newKubectl(t, c)
	k.kubeconfig = cluster.Kubeconfig(t, c.As(t, "shop", "narrow"))
	r := k.report(t, "-n", "shop")
	if r.outcomes() != "shop/web incomplete" {
		t.Errorf("the report is of %s", r.outcomes())
	}
	for _, want := range []string{"Only namespace shop was read", "Secret shop/users", "kind EndpointSlice", "kind IngressClass", "kind Namespace"} {
		if !strings.Contains(strings.Join(r.Caveats, "\n"), want) {
			t.Errorf("nothing is said of %s: %q", want, r.Caveats)
		}
	}
	out, errs, code := k.run(t, "postern", "lint", "-n", "shop")
	if code != 0 || strings.Contains(out, "there is no") || strings.Contains(out, "no ready endpoint") || !strings.Contains(out, "P1005") || !strings.Contains(errs, "You may not read Secret shop/users") {
		t.Errorf("lint ends with %d: %s\n%s", code, errs, out)
	}
	for _, request := range c.Requests(t) {
		if request.User.Username == "system:serviceaccount:shop:narrow" && request.ObjectRef.Resource == "secrets" &&
			(request.Verb != "get" || request.ObjectRef.Name != "users") {
			t.Errorf("it was asked to %s %s", request.Verb, request.RequestURI)
		}
	}
}

// TestCompletion: kubectl completes the plugin's words by the script that the plugin prints.
func TestCompletion(t *testing.T) {
	k := newKubectl(t, cluster.Start(t))
	script, errs, code := k.run(t, "postern", "completion", "kubectl")
	if code != 0 {
		t.Fatal(errs)
	}
	if err := os.WriteFile(filepath.Join(k.plugins, "kubectl_complete-postern"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{"li": "lint", "lint --all-n": "--all-namespaces", "lint -o ": "html"} {
		args := append([]string{"__complete", "postern"}, strings.Split(words, " ")...)
		if out, errs, code := k.run(t, args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: %d: %s\n%s; want %s", words, code, errs, out, want)
		}
	}
}
