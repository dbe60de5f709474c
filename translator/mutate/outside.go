package mutate

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/source"
)

// targets are names that an ExternalName might have; the cases' settings allow some of them.
var targets = []string{
	"example.com", "a.example.com", "A.b.Example.COM.", "new.example.com", "example.org", "secure.example.org", "notexample.com",
	"localhost", "a.localhost", "127.1", "0x7f000001", "2130706433", "[::1]", "metadata.google.internal", "kubernetes.default.svc",
	"dns.kube-system.svc.cluster.local", "web.default.svc", "web.default.svc.cluster.local", "x.y.z.svc", "cluster.local", "a..b", "-a.b", "a_b.example.com",
}

// addresses are what DNS might answer.
var addresses = []string{
	"192.0.2.1", "192.0.2.2", "2001:db8::1", "10.0.0.1", "10.0.0.9", "127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1",
	"64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "224.0.0.1", "255.255.255.255", "100.100.100.200", "fd00:ec2::254", "ff02::1", "198.51.100.4",
}

func (m *mutator) one(from []string) string { return from[m.rand.IntN(len(from))] }

// outside makes a Service an ExternalName, or changes what bears on where one may lead.
func (m *mutator) outside() {
	switch m.rand.IntN(5) {
	case 0, 1:
		m.externalName()
	case 2:
		m.world.Nodes = append(m.world.Nodes, source.Node{Node: &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: m.one([]string{"node-1", "node-2"})},
			Spec:       corev1.NodeSpec{PodCIDR: m.one([]string{"10.0.0.0/24", "2001:db8::/64", "192.0.2.0/31", "x", ""})},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: m.one(addresses)}, {Type: corev1.NodeHostName, Address: m.one(targets)}}},
		}})
	case 3:
		m.world.Namespaces = append(m.world.Namespaces, source.Namespace{Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: m.one([]string{"default", "shop", "team"}), Annotations: map[string]string{native.Table.Prefixes[0] + m.one([]string{"allow-external-name-from", "allow-external-name", "auth-url"}): m.one([]string{"default", "shop,default", "*", "", "a b"})},
		}}})
		m.world.Namespaces = uniqueNamespaces(m.world.Namespaces)
	default:
		m.answer()
	}
}

// uniqueNamespaces keeps the first of each name, as the reader of files does.
func uniqueNamespaces(all []source.Namespace) []source.Namespace {
	var out []source.Namespace
	for _, n := range all {
		if !slices.ContainsFunc(out, func(o source.Namespace) bool { return o.Cluster == n.Cluster && o.Name == n.Name }) {
			out = append(out, n)
		}
	}
	return out
}

func (m *mutator) externalName() {
	if len(m.world.Services) == 0 {
		return
	}
	s := m.world.Services[m.rand.IntN(len(m.world.Services))]
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, m.one(targets)
	for i := range s.Spec.Ports {
		s.Spec.Ports[i].TargetPort = []intstr.IntOrString{{}, intstr.FromInt32(m.number()), intstr.FromString("http")}[m.rand.IntN(3)]
	}
}

// answer is what DNS says of one of the targets, in place of what it said before.
func (m *mutator) answer() {
	n := source.ResolvedName{Name: m.one([]string{"example.com", "a.example.com", "a.b.example.com", "new.example.com", "example.org", "secure.example.org", "a_b.example.com"})}
	for range m.rand.IntN(5) {
		n.Addresses = append(n.Addresses, netip.MustParseAddr(m.one(addresses)))
	}
	if m.rand.IntN(4) == 0 {
		n.Aliases = append(n.Aliases, m.one(targets))
	}
	if m.rand.IntN(4) == 0 {
		n.Fault = "the DNS servers do not answer"
	}
	// Merge made the slice the mutator's own.
	m.world.Names = append(slices.DeleteFunc(m.world.Names, func(o source.ResolvedName) bool { return o.Name == n.Name }), n)
}
