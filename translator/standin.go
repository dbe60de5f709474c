package translator

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// WithStandIns is a World with a Service in the place of each that served Ingresses refer to and the World does not have, so
// that manifests that come without Services can be compared. A Service that the World has stays as it is, whatever it lacks.
//
// Where known has the Service, with a port that is asked for, that one is taken. Else the stand-in has the ports that are
// asked for and no annotations: how its endpoints are spoken to is not known. It leads where a known ExternalName does. A
// port by name is the one that the known Service has, where that has a single one; else it has no number, and goes by its
// name.
func WithStandIns(w source.World, s Settings, known []source.Service) source.World {
	made := standIns{known: map[resolve.ServiceKey]source.Service{}, ports: map[resolve.ServiceKey][]model.PortRef{}, has: map[resolve.ServiceKey]bool{}}
	for _, k := range known {
		made.known[serviceKey(k)] = k
	}
	for _, own := range w.Services {
		made.has[serviceKey(own)] = true
	}
	// Behind a Service others may be referred to, such as an auth server's.
	out := w
	for made.add(Translate(out, s).Absent.Ports) {
		out.Services = slices.Clip(w.Services)
		for _, key := range made.order {
			out.Services = append(out.Services, made.service(key))
		}
	}
	return out
}

// standIns are the Services that a World is given.
type standIns struct {
	has   map[resolve.ServiceKey]bool
	known map[resolve.ServiceKey]source.Service
	ports map[resolve.ServiceKey][]model.PortRef
	order []resolve.ServiceKey
}

// add takes what is absent, and says whether any of it is new.
func (m *standIns) add(absent []resolve.AbsentPort) bool {
	added := false
	for _, a := range absent {
		if m.has[a.Service] || slices.Contains(m.ports[a.Service], a.Port) {
			continue
		}
		if len(m.ports[a.Service]) == 0 {
			m.order = append(m.order, a.Service)
		}
		m.ports[a.Service] = append(m.ports[a.Service], a.Port)
		added = true
	}
	return added
}

func (m *standIns) service(key resolve.ServiceKey) source.Service {
	known, is := m.known[key]
	asked := func(p model.PortRef) bool { return resolve.HasPort(known, p) }
	leads := is && known.Spec.Type == corev1.ServiceTypeExternalName
	if leads && len(known.Spec.Ports) == 0 || is && slices.ContainsFunc(m.ports[key], asked) {
		return known
	}
	out := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	if leads {
		out.Spec.Type, out.Spec.ExternalName = known.Spec.Type, known.Spec.ExternalName
	}
	for _, p := range m.ports[key] {
		port := corev1.ServicePort{Name: p.Name, Port: p.Number}
		if p.Name != "" && is && len(known.Spec.Ports) == 1 {
			port.Port = known.Spec.Ports[0].Port
		}
		out.Spec.Ports = append(out.Spec.Ports, port)
	}
	return source.Service{Place: source.Place{Cluster: key.Cluster}, Service: out}
}

func serviceKey(s source.Service) resolve.ServiceKey {
	return resolve.ServiceKey{Cluster: s.Cluster, Namespace: s.Namespace, Name: s.Name}
}
