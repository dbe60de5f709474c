package translator_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// TestUnread: of an object that may not be read nobody says that it is missing, whatever refers to it (P1005); what it is for
// stays closed.
func TestUnread(t *testing.T) {
	const path = "http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}"
	state, err := files.Read([]string{files.StdinPath}, files.Options{Stdin: strings.NewReader(`
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: users, namespace: shop, annotations: {ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: s1}},
  spec: {tls: [{hosts: [a.test], secretName: s2}], rules: [{host: a.test, ` + path + `}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: ca, namespace: shop, annotations: {postern.dev/client-ca-secret: s3}}, spec: {rules: [{host: b.test, ` + path + `}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: upstream, namespace: shop, annotations: {postern.dev/backend-protocol: https, postern.dev/upstream-ca-configmap: s4}},
  spec: {rules: [{host: c.test, ` + path + `}]}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	w, s := state.World(), translator.Settings{Resolve: resolve.Settings{
		ClusterDomain: "cluster.local", Entries: []model.Entry{{Name: "http"}, {Name: "https", TLS: true}}, Edge: model.Edge{TLSMinVersion: model.TLS12},
	}}
	missing := translator.Translate(w, s)
	for _, key := range missing.Gateway.References.Secrets {
		w.Unread = append(w.Unread, source.Unread{Kind: model.KindSecret, Namespace: key.Namespace, Name: key.Name})
	}
	for _, key := range missing.Gateway.References.ConfigMaps {
		w.Unread = append(w.Unread, source.Unread{Kind: model.KindConfigMap, Namespace: key.Namespace, Name: key.Name})
	}
	if len(w.Unread) != 4 {
		t.Fatalf("%d objects are referred to, want 4: %+v", len(w.Unread), w.Unread)
	}
	unread := translator.Translate(w, s)
	for _, u := range w.Unread {
		if !slices.ContainsFunc(unread.Diagnostics, func(d diag.D) bool {
			return d.Code == diag.CodeUnread && d.Severity == diag.Info && strings.Contains(d.Message, u.Kind+" shop/"+u.Name+" ")
		}) {
			t.Errorf("%s %s: nothing is told of it", u.Kind, u.Name)
		}
	}
	for _, d := range unread.Diagnostics {
		if strings.Contains(d.Message, "there is no") || d.Severity == diag.Error {
			t.Errorf("told of what may not be read: %s", d)
		}
	}
	for _, a := range unread.Annotations {
		if a.State == diag.StateCloses {
			t.Errorf("%s is judged: %s", a.Origin, a.Note)
		}
	}
	for i, table := range unread.Gateway.Tables {
		for j, h := range table.Exact {
			for k, r := range h.Routes {
				_, closed := r.Action.(*model.Closed)
				_, before := missing.Gateway.Tables[i].Exact[j].Routes[k].Action.(*model.Closed)
				if closed != before {
					t.Errorf("%v: closed %v, and %v where the object is missing", h.Host, closed, before)
				}
			}
		}
	}
}
