package files

import (
	"cmp"
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1beta1 "k8s.io/api/discovery/v1beta1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/translator/source"
)

// namespaceDefault is the namespace of objects that name none where nothing else is asked for, as kubectl has it.
const namespaceDefault = metav1.NamespaceDefault

// readers are the types that are read. It is filled by init, as the readers themselves look up types in it.
var readers map[typeName]func(*decoder, *yaml.Node, header) error

func init() {
	readers = map[typeName]func(*decoder, *yaml.Node, header) error{
		{"networking.k8s.io/v1", "Ingress"}:           readIngress,
		{"networking.k8s.io/v1beta1", "Ingress"}:      readLegacyIngress,
		{"extensions/v1beta1", "Ingress"}:             readLegacyIngress,
		{"networking.k8s.io/v1", "IngressClass"}:      readIngressClass,
		{"networking.k8s.io/v1beta1", "IngressClass"}: readIngressClass,
		{"discovery.k8s.io/v1", "EndpointSlice"}:      readEndpointSlice,
		{"discovery.k8s.io/v1beta1", "EndpointSlice"}: readBetaEndpointSlice,
		{"v1", "Service"}:                             readService,
		{"v1", "Endpoints"}:                           readEndpoints,
		{"v1", "Secret"}:                              readSecret,
		{"v1", "ConfigMap"}:                           readConfigMap,
		{"v1", "Namespace"}:                           readNamespace,
		{"v1", "Node"}:                                readNode,
	}
}

// namespaced gives the header of an object whose kind lives in namespaces.
func (d *decoder) namespaced(h header) header {
	h.namespace = cmp.Or(h.namespace, d.namespace)
	return h
}

// clusterWide gives the header of an object whose kind does not; a namespace that it names means nothing.
func clusterWide(h header) header {
	h.namespace = ""
	return h
}

func readIngress(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	o, place, err := typed[networkingv1.Ingress](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = h.namespace
	d.world.Ingresses = append(d.world.Ingresses, source.Ingress{Place: place, Ingress: o, APIVersion: h.apiVersion})
	return nil
}

// readIngressClass reads both versions: v1beta1 has the same fields.
func readIngressClass(d *decoder, n *yaml.Node, h header) error {
	h = clusterWide(h)
	o, place, err := typed[networkingv1.IngressClass](d, n, h)
	if err != nil {
		return err
	}
	o.APIVersion, o.Namespace = networkingv1.SchemeGroupVersion.String(), ""
	d.world.IngressClasses = append(d.world.IngressClasses, source.IngressClass{Place: place, IngressClass: o})
	return nil
}

func readEndpointSlice(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	o, place, err := typed[discoveryv1.EndpointSlice](d, n, h)
	if err != nil {
		return err
	}
	d.addEndpointSlice(o, place, h)
	return nil
}

// readBetaEndpointSlice turns v1beta1 into v1. What differs is the topology: v1 has a field for the zone, and keeps
// the other labels as deprecatedTopology.
func readBetaEndpointSlice(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	beta, place, err := typed[discoveryv1beta1.EndpointSlice](d, n, h)
	if err != nil {
		return err
	}
	o := &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta:  beta.ObjectMeta,
		AddressType: discoveryv1.AddressType(beta.AddressType),
	}
	for _, p := range beta.Ports {
		o.Ports = append(o.Ports, discoveryv1.EndpointPort(p))
	}
	for _, e := range beta.Endpoints {
		o.Endpoints = append(o.Endpoints, fromBetaEndpoint(e))
	}
	d.addEndpointSlice(o, place, h)
	return nil
}

func fromBetaEndpoint(e discoveryv1beta1.Endpoint) discoveryv1.Endpoint {
	out := discoveryv1.Endpoint{
		Addresses:  e.Addresses,
		Conditions: discoveryv1.EndpointConditions(e.Conditions),
		Hostname:   e.Hostname,
		TargetRef:  e.TargetRef,
		NodeName:   e.NodeName,
	}
	topology := maps.Clone(e.Topology)
	if zone, ok := topology[corev1.LabelTopologyZone]; ok {
		out.Zone = &zone
		delete(topology, corev1.LabelTopologyZone)
	}
	if node, ok := topology[corev1.LabelHostname]; ok && out.NodeName == nil {
		out.NodeName = &node
		delete(topology, corev1.LabelHostname)
	}
	if len(topology) > 0 {
		out.DeprecatedTopology = topology
	}
	if e.Hints != nil {
		out.Hints = &discoveryv1.EndpointHints{}
		for _, z := range e.Hints.ForZones {
			out.Hints.ForZones = append(out.Hints.ForZones, discoveryv1.ForZone(z))
		}
		for _, node := range e.Hints.ForNodes {
			out.Hints.ForNodes = append(out.Hints.ForNodes, discoveryv1.ForNode(node))
		}
	}
	return out
}

// addEndpointSlice sets the defaults of https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/:
// an empty port name, TCP.
func (d *decoder) addEndpointSlice(o *discoveryv1.EndpointSlice, place source.Place, h header) {
	o.Namespace = h.namespace
	for i := range o.Ports {
		p := &o.Ports[i]
		if p.Name == nil {
			p.Name = new(string)
		}
		if p.Protocol == nil {
			p.Protocol = new(corev1.ProtocolTCP)
		}
	}
	d.world.EndpointSlices = append(d.world.EndpointSlices, source.EndpointSlice{Place: place, EndpointSlice: o})
}

// readService sets the defaults of https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/:
// ClusterIP, TCP, and a targetPort equal to the port. A headless Service's and an ExternalName's targetPort is ignored,
// so it does not matter that they get one too.
func readService(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	o, place, err := typed[corev1.Service](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = h.namespace
	if o.Spec.Type == "" {
		o.Spec.Type = corev1.ServiceTypeClusterIP
	}
	if o.Spec.SessionAffinity == "" {
		o.Spec.SessionAffinity = corev1.ServiceAffinityNone
	}
	for i := range o.Spec.Ports {
		p := &o.Spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	d.world.Services = append(d.world.Services, source.Service{Place: place, Service: o})
	return nil
}

func readEndpoints(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	//lint:ignore SA1019 Users' files still carry the deprecated kind.
	o, place, err := typed[corev1.Endpoints](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = h.namespace
	for _, subset := range o.Subsets {
		for i := range subset.Ports {
			if subset.Ports[i].Protocol == "" {
				subset.Ports[i].Protocol = corev1.ProtocolTCP
			}
		}
	}
	d.world.Endpoints = append(d.world.Endpoints, source.Endpoints{Place: place, Endpoints: o})
	return nil
}

// readSecret merges stringData into data, where it wins, as the API server does.
func readSecret(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	o, place, err := typed[corev1.Secret](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = h.namespace
	if o.Type == "" {
		o.Type = corev1.SecretTypeOpaque
	}
	if len(o.StringData) > 0 && o.Data == nil {
		o.Data = map[string][]byte{}
	}
	for key, text := range o.StringData {
		o.Data[key] = []byte(text)
		place.Lines["data["+key+"]"] = place.Lines["stringData["+key+"]"]
	}
	o.StringData = nil
	d.world.Secrets = append(d.world.Secrets, source.Secret{Place: place, Secret: o})
	return nil
}

func readConfigMap(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	o, place, err := typed[corev1.ConfigMap](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = h.namespace
	d.world.ConfigMaps = append(d.world.ConfigMaps, source.ConfigMap{Place: place, ConfigMap: o})
	return nil
}

func readNamespace(d *decoder, n *yaml.Node, h header) error {
	h = clusterWide(h)
	o, place, err := typed[corev1.Namespace](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = ""
	d.world.Namespaces = append(d.world.Namespaces, source.Namespace{Place: place, Namespace: o})
	return nil
}

func readNode(d *decoder, n *yaml.Node, h header) error {
	h = clusterWide(h)
	o, place, err := typed[corev1.Node](d, n, h)
	if err != nil {
		return err
	}
	o.Namespace = ""
	d.world.Nodes = append(d.world.Nodes, source.Node{Place: place, Node: o})
	return nil
}
