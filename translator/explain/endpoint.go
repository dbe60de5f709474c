package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Endpoint is what is known of one endpoint of a backend.
type Endpoint struct {
	Address string `json:"address"`
	// Cluster is the cluster that it comes from, empty where there is but one.
	Cluster string `json:"cluster,omitempty"`
	Health  Health `json:"health"`
	// Serves says that requests may go there.
	Serves bool `json:"serves"`
	// Origin is its place in an EndpointSlice, nil where nothing is known but the address.
	Origin *diag.Origin `json:"origin,omitempty"`
}

// Health is the state of an endpoint by the conditions of its EndpointSlice (discovery/v1, EndpointConditions).
type Health string

// The states.
const (
	HealthReady Health = "ready"
	// HealthNotReady is that of a pod that has not begun, or fails its readiness probe.
	HealthNotReady Health = "not-ready"
	// HealthDraining is terminating and still serving, HealthTerminating no longer.
	HealthDraining    Health = "draining"
	HealthTerminating Health = "terminating"
	// HealthUnknown is that of an address by itself, as a name outside of the cluster and --backend give it.
	HealthUnknown Health = "unknown"
)

func healthOf(e model.Endpoint) Health {
	switch {
	case e.Terminating && e.Serving:
		return HealthDraining
	case e.Terminating:
		return HealthTerminating
	case e.Ready:
		return HealthReady
	default:
		return HealthNotReady
	}
}

// endpointsOf are the endpoints of an assignment: those that serve, and those that are known and do not.
func endpointsOf(a model.Assignment) []Endpoint {
	cluster := ""
	if len(a.Origins) > 0 {
		cluster = a.Origins[0].Cluster
	}
	var out []Endpoint
	told := map[netip.AddrPort]bool{}
	for i, known := range a.Known {
		told[known.Address] = true
		out = append(out, Endpoint{
			Address: known.Address.String(), Cluster: known.Origin.Cluster, Health: healthOf(known),
			Serves: slices.Contains(a.Endpoints, known.Address), Origin: &a.Known[i].Origin,
		})
	}
	for _, address := range a.Endpoints {
		if !told[address] {
			out = append(out, Endpoint{Address: address.String(), Cluster: cluster, Health: HealthUnknown, Serves: true})
		}
	}
	return out
}

// withoutEndpoints says why a backend of a Service has none that serves: what it has is counted.
func withoutEndpoints(all []Endpoint) string {
	if len(all) == 0 {
		return "the backend has no endpoints"
	}
	return "the backend has no ready endpoints: of " + plural(len(all), "endpoint") + ", " + healthCounts(all)
}

// healthCounts are the endpoints by their health: 2 ready, 1 not-ready.
func healthCounts(all []Endpoint) string {
	var out []string
	for _, health := range []Health{HealthReady, HealthDraining, HealthNotReady, HealthTerminating, HealthUnknown} {
		count := 0
		for _, e := range all {
			if e.Health == health {
				count++
			}
		}
		if count > 0 {
			out = append(out, fmt.Sprintf("%d %s", count, health))
		}
	}
	return strings.Join(out, ", ")
}
