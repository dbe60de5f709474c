package incluster

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/source"
)

// adapted is a World of files as whoever moves it to a cluster would write it: a path without its type is one of
// ImplementationSpecific, as the legacy API had it, and Endpoints are the EndpointSlices that the cluster mirrors of them.
func adapted(w source.World) source.World {
	w = source.Merge(w)
	for i := range w.Ingresses {
		w.Ingresses[i].Ingress = typed(w.Ingresses[i].Ingress)
	}
	for _, e := range w.Endpoints {
		has := func(s source.EndpointSlice) bool {
			return s.Namespace == e.Namespace && s.Labels[discoveryv1.LabelServiceName] == e.Name
		}
		if !slices.ContainsFunc(w.EndpointSlices, has) {
			w.EndpointSlices = append(w.EndpointSlices, mirrored(e.Endpoints)...)
		}
	}
	w.Endpoints = nil
	return w
}

func typed(ing *networkingv1.Ingress) *networkingv1.Ingress {
	ing = ing.DeepCopy()
	byDefault := networkingv1.PathTypeImplementationSpecific
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			if p := &rule.HTTP.Paths[i]; p.PathType == nil {
				p.PathType = &byDefault
			}
		}
	}
	return ing
}

// mirrored are the EndpointSlices of legacy Endpoints: one for each subset and family of addresses.
//
//lint:ignore SA1019 the cases still have the deprecated kind
func mirrored(e *corev1.Endpoints) []source.EndpointSlice {
	var out []source.EndpointSlice
	for i, subset := range e.Subsets {
		for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			s := &discoveryv1.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: e.Namespace, Name: fmt.Sprintf("%s-mirror-%d-%s", e.Name, i, map[discoveryv1.AddressType]string{
						discoveryv1.AddressTypeIPv4: "v4", discoveryv1.AddressTypeIPv6: "v6"}[family]),
					Labels: map[string]string{discoveryv1.LabelServiceName: e.Name},
				},
				AddressType: family,
			}
			for _, p := range subset.Ports {
				s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol})
			}
			add := func(addresses []corev1.EndpointAddress, ready bool) {
				for _, a := range addresses {
					if parsed, err := netip.ParseAddr(a.IP); err == nil && parsed.Is4() == (family == discoveryv1.AddressTypeIPv4) {
						s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
					}
				}
			}
			add(subset.Addresses, true)
			add(subset.NotReadyAddresses, false)
			if len(s.Endpoints) > 0 {
				out = append(out, source.EndpointSlice{EndpointSlice: s})
			}
		}
	}
	return out
}
