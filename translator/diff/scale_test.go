package diff_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diff"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// scale is how many Ingresses the large world has, each with a host and two paths.
const scale = 10_000

// largeWorld is a world of n Ingresses; edit changes each before it is added.
func largeWorld(n int, edit func(i int, ing *networkingv1.Ingress)) source.World {
	w := source.World{}
	const services = 100
	for i := range services {
		name, port, ready := fmt.Sprintf("s%d", i), int32(80), true
		meta := metav1.ObjectMeta{Namespace: "shop", Name: name}
		w.Services = append(w.Services, source.Service{Service: &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}}}})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		slice.Ports = []discoveryv1.EndpointPort{{Port: &port}}
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{fmt.Sprintf("10.0.0.%d", i+1)}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}}
		w.EndpointSlices = append(w.EndpointSlices, source.EndpointSlice{EndpointSlice: slice})
	}
	prefix := networkingv1.PathTypePrefix
	for i := range n {
		path := func(value string, service int) networkingv1.HTTPIngressPath {
			return networkingv1.HTTPIngressPath{Path: value, PathType: &prefix, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: fmt.Sprintf("s%d", service%services), Port: networkingv1.ServiceBackendPort{Number: 80},
			}}}
		}
		ing := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("i%05d", i), Annotations: map[string]string{}}}
		ing.Spec.Rules = []networkingv1.IngressRule{{
			Host: fmt.Sprintf("h%05d.example.test", i),
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{path("/", i), path("/api", i+1)},
			}},
		}}
		edit(i, ing)
		w.Ingresses = append(w.Ingresses, source.Ingress{Ingress: ing})
	}
	return w
}

func largeSettings() translator.Settings {
	return translator.Settings{Resolve: resolve.Settings{
		Entries: []model.Entry{
			{Name: "http", Address: netip.MustParseAddrPort("0.0.0.0:8080"), PublicPort: 80},
			{Name: "https", TLS: true, Address: netip.MustParseAddrPort("0.0.0.0:8443"), PublicPort: 443},
		},
		Edge:               model.Edge{HTTPSPublicPort: 443},
		DefaultCertificate: &model.Certificate{Chain: []byte("none")},
	}}
}

// TestScale: one edit among many Ingresses is found, and one that touches many hosts at once is told once (twice, as other
// spellings of restricted paths are closed).
func TestScale(t *testing.T) {
	n := scale
	if testing.Short() {
		n = scale / 10
	}
	plain := func(int, *networkingv1.Ingress) {}
	side := func(w source.World) diff.Side {
		return diff.Side{Gateway: translator.Translate(w, largeSettings()).Gateway}
	}
	base := side(largeWorld(n, plain))
	one := side(largeWorld(n, func(i int, ing *networkingv1.Ingress) {
		if i == n/2 {
			ing.Spec.Rules[0].HTTP.Paths[1].Backend.Service.Name = "s7"
		}
	}))
	many := side(largeWorld(n, func(i int, ing *networkingv1.Ingress) {
		if i%3 == 0 {
			ing.Annotations["ingress.kubernetes.io/whitelist-source-range"] = "10.0.0.0/8"
		}
	}))
	for _, tt := range []struct {
		name           string
		other          diff.Side
		classes, hosts int
	}{{"itself", base, 0, 0}, {"one edit", one, 1, 2}, {"a third of all hosts", many, 2, 4 * ((n + 2) / 3)}} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		report := diff.Compare(base, tt.other)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		hosts := 0
		for _, c := range report.Classes {
			hosts += c.Count
		}
		if len(report.Classes) != tt.classes || hosts != tt.hosts || len(report.Unseen) > 0 {
			t.Errorf("%s: %d classes of %d hosts, want %d of %d\n%s", tt.name, len(report.Classes), hosts, tt.classes, tt.hosts, report.Text())
		}
		t.Logf("%d Ingresses, %s: %s, %d MB allocated", n, tt.name, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
		if len(report.Classes) > 0 {
			t.Logf("\n%s", report.Text())
		}
	}
}
