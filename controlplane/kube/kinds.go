package kube

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/source"
)

// What each kind is kept with, and what is taken off: translation does not read it, and of ten thousand objects it is most
// of the memory.

func ingresses(place source.Place) *kind[source.Ingress] {
	return newKind(kind[source.Ingress]{name: "Ingress", wrap: func(o any) (source.Ingress, bool) {
		ing, ok := o.(*networkingv1.Ingress)
		return source.Ingress{Place: place, Ingress: ing, APIVersion: networkingv1.SchemeGroupVersion.String()}, ok
	}}, nothing, func(o *networkingv1.Ingress) {
		// Postern writes it itself, of every Ingress: that must not have everything translated again.
		o.Status = networkingv1.IngressStatus{}
	}, func(o source.Ingress) *networkingv1.Ingress { return o.Ingress })
}

func services(place source.Place) *kind[source.Service] {
	return newKind(kind[source.Service]{name: "Service", wrap: func(o any) (source.Service, bool) {
		s, ok := o.(*corev1.Service)
		return source.Service{Place: place, Service: s}, ok
	}}, func(o *corev1.Service) {
		o.Status.Conditions = nil
		o.Spec.Selector = nil
	}, nothing, func(o source.Service) *corev1.Service { return o.Service })
}

func endpointSlices(place source.Place) *kind[source.EndpointSlice] {
	return newKind(kind[source.EndpointSlice]{name: "EndpointSlice", endpoints: true, wrap: func(o any) (source.EndpointSlice, bool) {
		s, ok := o.(*discoveryv1.EndpointSlice)
		return source.EndpointSlice{Place: place, EndpointSlice: s}, ok
	}}, func(o *discoveryv1.EndpointSlice) {
		// The annotation of when pods changed is another with every write.
		o.Annotations = nil
		o.Labels = map[string]string{discoveryv1.LabelServiceName: o.Labels[discoveryv1.LabelServiceName]}
		for i := range o.Endpoints {
			o.Endpoints[i] = discoveryv1.Endpoint{Addresses: o.Endpoints[i].Addresses, Conditions: o.Endpoints[i].Conditions}
		}
	}, nothing, func(o source.EndpointSlice) *discoveryv1.EndpointSlice { return o.EndpointSlice })
}

func ingressClasses(place source.Place) *kind[source.IngressClass] {
	return newKind(kind[source.IngressClass]{name: "IngressClass", wrap: func(o any) (source.IngressClass, bool) {
		c, ok := o.(*networkingv1.IngressClass)
		return source.IngressClass{Place: place, IngressClass: c}, ok
	}}, nothing, nothing, func(o source.IngressClass) *networkingv1.IngressClass { return o.IngressClass })
}

func namespaces(place source.Place) *kind[source.Namespace] {
	return newKind(kind[source.Namespace]{name: "Namespace", wrap: func(o any) (source.Namespace, bool) {
		n, ok := o.(*corev1.Namespace)
		return source.Namespace{Place: place, Namespace: n}, ok
	}}, func(o *corev1.Namespace) {
		o.Spec, o.Status = corev1.NamespaceSpec{}, corev1.NamespaceStatus{}
	}, nothing, func(o source.Namespace) *corev1.Namespace { return o.Namespace })
}

// nodes are kept for their addresses. Their status is written every few minutes, with all that runs there.
func nodes(place source.Place) *kind[source.Node] {
	return newKind(kind[source.Node]{name: "Node", wrap: func(o any) (source.Node, bool) {
		n, ok := o.(*corev1.Node)
		return source.Node{Place: place, Node: n}, ok
	}}, func(o *corev1.Node) {
		o.Labels, o.Annotations = nil, nil
		o.Spec = corev1.NodeSpec{PodCIDR: o.Spec.PodCIDR, PodCIDRs: o.Spec.PodCIDRs}
		o.Status = corev1.NodeStatus{Addresses: o.Status.Addresses}
	}, nothing, func(o source.Node) *corev1.Node { return o.Node })
}

// secrets lose the annotation of kubectl apply above all: the data stands in it once more.
func secrets(place source.Place) *kind[source.Secret] {
	return newKind(kind[source.Secret]{name: "Secret", wrap: func(o any) (source.Secret, bool) {
		s, ok := o.(*corev1.Secret)
		return source.Secret{Place: place, Secret: s}, ok
	}}, func(o *corev1.Secret) {
		o.Labels, o.Annotations = nil, nil
	}, nothing, func(o source.Secret) *corev1.Secret { return o.Secret })
}

func configMaps(place source.Place) *kind[source.ConfigMap] {
	return newKind(kind[source.ConfigMap]{name: "ConfigMap", wrap: func(o any) (source.ConfigMap, bool) {
		m, ok := o.(*corev1.ConfigMap)
		return source.ConfigMap{Place: place, ConfigMap: m}, ok
	}}, func(o *corev1.ConfigMap) {
		o.Labels, o.Annotations = nil, nil
	}, nothing, func(o source.ConfigMap) *corev1.ConfigMap { return o.ConfigMap })
}

func nothing[O any](O) {}

// lastApplied is where kubectl apply keeps the whole object once more.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// trimMeta takes off what no kind is read for.
func trimMeta(o metav1.Object) {
	o.SetManagedFields(nil)
	o.SetOwnerReferences(nil)
	o.SetFinalizers(nil)
	annotations := o.GetAnnotations()
	delete(annotations, lastApplied)
	o.SetAnnotations(annotations)
}
