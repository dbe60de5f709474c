package translator_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

const withoutServices = `
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: number, namespace: shop}, spec: {rules: [{host: a.test, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: name, namespace: shop}, spec: {rules: [{host: b.test, http: {paths: [{path: /, backend: {service: {name: web, port: {name: admin}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: auth, namespace: shop, annotations: {ingress.kubernetes.io/auth-type: forward, ingress.kubernetes.io/auth-url: "http://auth.shop.svc:8080/"}},
  spec: {rules: [{host: c.test, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: short, namespace: shop, annotations: {ingress.kubernetes.io/auth-type: forward, ingress.kubernetes.io/auth-url: "http://short.shop/"}},
  spec: {rules: [{host: d.test, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: errors, namespace: shop, annotations: {ingress.kubernetes.io/error-pages: "{a: {status: ['500'], backend: 'errors:8081', query: /}, b: {status: ['502'], backend: 'plain', query: /}, c: {status: ['503'], backend: 'no.such.rule/path', query: /}}"}},
  spec: {rules: [{host: e.test, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: external, namespace: shop}, spec: {rules: [{host: f.test, http: {paths: [{path: /, backend: {service: {name: external, port: {number: 80}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: other, namespace: shop}, spec: {rules: [{host: g.test, http: {paths: [{path: /, backend: {service: {name: own, port: {number: 81}}}}]}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: external, namespace: shop}, spec: {type: ExternalName, externalName: target.shop.svc, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: own, namespace: shop}, spec: {ports: [{port: 80}]}}
`

func standInSettings() translator.Settings {
	return translator.Settings{Resolve: resolve.Settings{
		ClusterDomain: "cluster.local", Entries: []model.Entry{{Name: "http"}}, Edge: model.Edge{TLSMinVersion: model.TLS12},
		ExternalNames: resolve.ExternalNames{Scope: resolve.ScopeCluster},
	}}
}

func manifestsOf(t *testing.T, text string) source.World {
	t.Helper()
	state, err := files.Read([]string{files.StdinPath}, files.Options{Stdin: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	return state.World()
}

// TestWithStandIns: whatever refers to a Service that is not there gets one, and a Service that is there stays as it is.
func TestWithStandIns(t *testing.T) {
	w, s := manifestsOf(t, withoutServices), standInSettings()
	r := translator.Translate(translator.WithStandIns(w, s, nil), s)
	var backends []string
	for _, b := range r.Gateway.Backends {
		backends = append(backends, b.Name)
	}
	want := []string{"shop/auth/8080", "shop/errors/8081", "shop/external/80", "shop/plain/80", "shop/short/80", "shop/web/80", "shop/web/admin"}
	if !slices.Equal(backends, want) {
		t.Errorf("backends %q, want %q", backends, want)
	}
	if left := []resolve.AbsentPort{{Service: resolve.ServiceKey{Namespace: "shop", Name: "own"}, Port: model.PortRef{Number: 81}}}; !slices.Equal(r.Absent.Ports, left) {
		t.Errorf("absent are %+v, want the port that a Service of the world has not", r.Absent.Ports)
	}
	if len(w.Services) != 2 {
		t.Errorf("the world has %d Services now", len(w.Services))
	}
}

// TestWithStandInsKnown: a known Service is taken as it is, where it has a port that is asked for, or is an ExternalName; of
// one with another port, a port by name gets the number.
func TestWithStandInsKnown(t *testing.T) {
	known := manifestsOf(t, `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, annotations: {postern.dev/backend-protocol: https}}, spec: {ports: [{name: admin, port: 9000}, {port: 80, name: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: plain, namespace: shop}, spec: {ports: [{port: 8000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: errors, namespace: shop}, spec: {type: ExternalName, externalName: target.shop.svc, ports: [{port: 8081}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: unasked, namespace: shop}, spec: {ports: [{port: 80}]}}
`)
	w, s := manifestsOf(t, strings.ReplaceAll(withoutServices, "number: 80}", "name: http}")), standInSettings()
	filled := translator.WithStandIns(w, s, known.Services)
	var names []string
	for _, service := range filled.Services {
		names = append(names, service.Name)
	}
	slices.Sort(names)
	if want := []string{"auth", "errors", "external", "own", "plain", "short", "target", "web"}; !slices.Equal(names, want) {
		t.Errorf("Services %q, want %q", names, want)
	}
	for _, b := range translator.Translate(filled, s).Gateway.Backends {
		if strings.HasPrefix(b.Name, "shop/web/") && b.Name != "shop/web/80/https" && b.Name != "shop/web/9000/https" {
			t.Errorf("backend %s, want those of the known Service", b.Name)
		}
		if strings.HasPrefix(b.Name, "shop/errors/") && !strings.HasPrefix(b.Assignment, "shop/target/") {
			t.Errorf("backend %s has the endpoints %s, want those where the known Service leads", b.Name, b.Assignment)
		}
	}
	only := source.Service{Service: &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 9000}}}}}
	only.Namespace, only.Name = "shop", "web"
	for _, service := range translator.WithStandIns(w, s, []source.Service{only}).Services {
		if service.Name == "web" && (len(service.Spec.Ports) != 2 || service.Spec.Ports[0].Port != 9000 || service.Spec.Ports[0].Name != "admin") {
			t.Errorf("ports %+v, want those by name at 9000", service.Spec.Ports)
		}
	}
}
