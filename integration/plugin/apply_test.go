package plugin

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/integration/cluster"
)

// edit replaces one Ingress, without its namespace, and adds one that claims what another has already, by a name that would
// win were both of one age.
const edit = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations: {kubernetes.io/ingress.class: traefik, ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: users, traefik.ingress.kubernetes.io/rule-type: PathPrefixStrip}
spec:
  rules: [{host: shop.test, http: {paths: [{path: /cart, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, namespace: attic, annotations: {kubernetes.io/ingress.class: nginx}}
spec:
  rules: [{host: attic.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}}]
`

// TestApply: what diff says of an edit of the cluster is what the cluster is once kubectl has applied it.
func TestApply(t *testing.T) {
	c := cluster.Start(t)
	c.Apply(t, objects+`---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: attic}, spec: {ports: [{port: 80}]}}
`)
	k := newKubectl(t, c)
	if out, errs, code := k.run(t, "config", "set-context", "--current", "--namespace", "shop"); code != 0 {
		t.Fatalf("kubectl config ends with %d: %s%s", code, errs, out)
	}
	folder := t.TempDir()
	file, before := filepath.Join(folder, "edit.yaml"), filepath.Join(folder, "before.yaml")
	if err := os.WriteFile(file, []byte(edit), 0o600); err != nil {
		t.Fatal(err)
	}
	objects, errs, code := k.run(t, "get", "ingresses,services,secrets", "-A", "-o", "yaml")
	if code != 0 {
		t.Fatalf("kubectl get ends with %d: %s", code, errs)
	}
	if err := os.WriteFile(before, []byte(objects), 0o600); err != nil {
		t.Fatal(err)
	}
	said, errs, code := k.run(t, "postern", "diff", "--ignore-endpoints", "--apply", "cluster", file)
	if code != 1 || !strings.Contains(said, "shop.test /cart") || strings.Contains(said, "attic.test") {
		t.Errorf("diff ends with %d: %s\n%s", code, errs, said)
	}
	awaitYounger(t, c)
	if out, errs, code := k.run(t, "apply", "-f", file); code != 0 {
		t.Fatalf("kubectl apply ends with %d: %s%s", code, errs, out)
	}
	if out, errs, code := k.run(t, "postern", "diff", "--ignore-endpoints", "--apply", "cluster", file); code != 0 {
		t.Errorf("once it is applied diff ends with %d: %s\n%s", code, errs, out)
	}
	became, errs, code := k.run(t, "postern", "diff", "--ignore-endpoints", before, "cluster")
	if code != 1 || withoutFiles(became, folder) != withoutFiles(said, folder) {
		t.Errorf("diff ends with %d: %s; the cluster became\n%s\nsaid was\n%s", code, errs, became, said)
	}
	if out, errs, code := k.run(t, "postern", "diff", "-n", "shop", "--ignore-endpoints", before, "cluster"); code != 1 || out != became {
		t.Errorf("of namespace shop diff ends with %d: %s\n%s\nwant\n%s", code, errs, out, became)
	}
	if out, errs, code := k.run(t, "postern", "diff", "-n", "attic", "--ignore-endpoints", before, "cluster"); code != 0 || !strings.Contains(errs, "of other namespaces than attic: leave out -n") {
		t.Errorf("of namespace attic diff ends with %d: %s\n%s", code, errs, out)
	}
}

// awaitYounger waits until what is created is younger than the Ingress old: an API server tells ages in whole seconds.
func awaitYounger(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	old, err := c.Client(t).NetworkingV1().Ingresses("attic").Get(t.Context(), "old", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(old.CreationTimestamp.Add(time.Second)))
}

// withoutFiles leaves out the lines of files in a folder, which objects of the cluster have none of.
func withoutFiles(text, folder string) string {
	return regexp.MustCompile(` \(`+regexp.QuoteMeta(folder)+`[^)]*\)`).ReplaceAllString(text, "")
}
