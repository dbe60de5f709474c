package metrics

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"slices"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// summary is what a publication comes to in numbers.
type summary struct {
	of *published

	objects                    map[objectKey]int
	ingresses                  map[string]int
	routesServed, routesClosed int
	hosts, backends, endpoints int
	diagnostics                map[diagnosticKey]int
	sizes                      []xds.Size
	// ends are when certificates end, by the digest of their chain.
	ends map[[sha256.Size]byte]time.Time
}

type objectKey struct{ cluster, kind string }

type diagnosticKey struct {
	severity diag.Severity
	code     diag.Code
}

// summarize reads a publication. Of the summary before, which may be nil, it takes what certificates say: parsing them is
// most of the work, and most are the same.
func summarize(p *published, before *summary) *summary {
	s := &summary{
		of: p, objects: countObjects(p.World), ingresses: map[string]int{}, diagnostics: map[diagnosticKey]int{},
		sizes: p.Snapshot.Sizes(), ends: map[[sha256.Size]byte]time.Time{},
	}
	s.countRoutes(p.Result.Gateway)
	for key := range s.objects {
		s.ingresses[key.cluster] += 0
	}
	for _, d := range p.Result.Diagnostics {
		s.diagnostics[diagnosticKey{d.Severity, d.Code}]++
	}
	var known map[[sha256.Size]byte]time.Time
	if before != nil {
		known = before.ends
	}
	for _, c := range p.Result.Gateway.Certificates {
		s.addCertificate(c, known)
	}
	if c := p.Result.Gateway.Default; c != nil {
		s.addCertificate(*c, known)
	}
	return s
}

func (s *summary) countRoutes(g model.Gateway) {
	type ingress struct{ cluster, namespace, name string }
	served, hostsSeen := map[ingress]struct{}{}, map[model.Host]struct{}{}
	count := func(routes []model.Route) {
		for _, r := range routes {
			served[ingress{r.Object.Cluster, r.Object.Namespace, r.Object.Name}] = struct{}{}
			if _, closed := r.Action.(*model.Closed); closed {
				s.routesClosed++
			} else {
				s.routesServed++
			}
		}
	}
	for _, table := range g.Tables {
		for _, host := range slices.Concat(table.Exact, table.Wildcard) {
			hostsSeen[host.Host] = struct{}{}
			count(host.Routes)
		}
		count(table.Any)
		count(table.Default)
	}
	for ing := range served {
		s.ingresses[ing.cluster]++
	}
	s.hosts, s.backends = len(hostsSeen), len(g.Backends)
	for _, a := range g.Assignments {
		s.endpoints += len(a.Endpoints)
	}
}

// addCertificate leaves out what does not parse, of which a diagnostic tells.
func (s *summary) addCertificate(c model.Certificate, known map[[sha256.Size]byte]time.Time) {
	digest := sha256.Sum256(c.Chain)
	if end, ok := known[digest]; ok {
		s.ends[digest] = end
		return
	}
	block, _ := pem.Decode(c.Chain)
	if block == nil {
		return
	}
	if parsed, err := x509.ParseCertificate(block.Bytes); err == nil {
		s.ends[digest] = parsed.NotAfter
	}
}

// earliest is the first end of all; there is one at least.
func (s *summary) earliest() time.Time {
	return slices.MinFunc(slices.Collect(maps.Values(s.ends)), time.Time.Compare)
}

// countObjects has every kind of every cluster, also where there is none of it.
func countObjects(w source.World) map[objectKey]int {
	kinds := map[string]map[string]int{
		"Ingress":       perCluster(w.Ingresses, func(o source.Ingress) string { return o.Cluster }),
		"Service":       perCluster(w.Services, func(o source.Service) string { return o.Cluster }),
		"EndpointSlice": perCluster(w.EndpointSlices, func(o source.EndpointSlice) string { return o.Cluster }),
		"Endpoints":     perCluster(w.Endpoints, func(o source.Endpoints) string { return o.Cluster }),
		"Secret":        perCluster(w.Secrets, func(o source.Secret) string { return o.Cluster }),
		"ConfigMap":     perCluster(w.ConfigMaps, func(o source.ConfigMap) string { return o.Cluster }),
		"IngressClass":  perCluster(w.IngressClasses, func(o source.IngressClass) string { return o.Cluster }),
		"Namespace":     perCluster(w.Namespaces, func(o source.Namespace) string { return o.Cluster }),
		"Node":          perCluster(w.Nodes, func(o source.Node) string { return o.Cluster }),
	}
	seen := map[string]struct{}{}
	for _, counts := range kinds {
		for cluster := range counts {
			seen[cluster] = struct{}{}
		}
	}
	if len(seen) == 0 {
		seen[""] = struct{}{}
	}
	out := map[objectKey]int{}
	for kind, counts := range kinds {
		for cluster := range seen {
			out[objectKey{cluster, kind}] = counts[cluster]
		}
	}
	return out
}

func perCluster[T any](objects []T, cluster func(T) string) map[string]int {
	out := map[string]int{}
	for _, o := range objects {
		out[cluster(o)]++
	}
	return out
}
