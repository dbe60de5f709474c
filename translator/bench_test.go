package translator_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// BenchmarkTranslate is of many Ingresses with a host each, and of one host with many paths: as they stand, ordered by
// priorities, and all hidden by one.
func BenchmarkTranslate(b *testing.B) {
	settings := reachSettings(b)
	for _, row := range []struct {
		name  string
		world source.World
	}{
		{"10000 Ingresses", manyHosts(10_000)},
		{"5000 paths", manyPaths(5_000, func(int) string { return "" })},
		{"5000 paths by priority", manyPaths(5_000, func(i int) string { return fmt.Sprint(1 + i%997) })},
		{"5000 paths hidden", manyPaths(5_000, func(i int) string { return map[bool]string{true: "1000"}[i == 0] })},
	} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				translator.Translate(row.world, settings)
			}
		})
	}
}

// manyHosts are Ingresses with a host, a Service and an endpoint each.
func manyHosts(n int) source.World {
	var w source.World
	for i := range n {
		name := fmt.Sprintf("web-%05d", i)
		addService(&w, name)
		w.Ingresses = append(w.Ingresses, onePath(name, name+".test", "/", name))
	}
	return w
}

// manyPaths are Ingresses with one path of one host each, the first that of everything.
func manyPaths(n int, priority func(int) string) source.World {
	var w source.World
	addService(&w, "web")
	for i := range n {
		path := fmt.Sprintf("/team-%d/app-%d/api", i%70, i)
		if i == 0 {
			path = "/"
		}
		ing := onePath(fmt.Sprintf("web-%05d", i), "one.test", path, "web")
		if p := priority(i); p != "" {
			ing.Annotations = map[string]string{traefikPrefix + "priority": p}
		}
		w.Ingresses = append(w.Ingresses, ing)
	}
	return w
}

func onePath(name, host, path, service string) source.Ingress {
	kind := networkingv1.PathTypePrefix
	return source.Ingress{Ingress: &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
			HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: path, PathType: &kind,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: service, Port: networkingv1.ServiceBackendPort{Number: 80},
				}},
			}}},
		}}}},
	}}
}

func addService(w *source.World, name string) {
	port := int32(80)
	w.Services = append(w.Services, source.Service{Service: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}},
	}})
	w.EndpointSlices = append(w.EndpointSlices, source.EndpointSlice{EndpointSlice: &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name + "-1", Labels: map[string]string{"kubernetes.io/service-name": name},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}})
}
