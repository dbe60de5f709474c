package resolve

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/translator/model"
)

// guard has a backend balanced and left alone as its Service asks. Nothing of it depends on an Ingress, so that the name
// of the backend stays.
func guard(b *model.Backend, p model.ServicePolicies) {
	if p.LeastRequest != nil {
		b.LeastRequest = true
		b.Origins = append(b.Origins, *p.LeastRequest)
	}
	if p.Breaker != nil {
		b.Breaker = p.Breaker
		b.Origins = append(b.Origins, p.Breaker.Origin)
	}
}

// policies are what the Service of a reference asks for.
func (r *backendResolver) policies(c model.Claim, b model.BackendRef) model.ServicePolicies {
	return r.in.Services[ServiceKey{c.Object.Cluster, b.Namespace, b.Service}].ServicePolicies
}

// affinity is the cookie by which a claim's clients are kept at one endpoint of a backend. Backends of one path must not
// take each other's cookies away, so there each has a name of its own.
func (r *backendResolver) affinity(c reference) *model.Affinity {
	claim := r.policies(c.Claim, c.Backend).Affinity
	if claim == nil {
		return nil
	}
	out := &model.Affinity{Cookie: claim.Cookie, Secure: claim.Secure, SameSite: claim.SameSite}
	if out.Cookie == "" {
		out.Cookie = poolCookie(c.PoolName)
	}
	if len(c.Backends) > 1 {
		out.Cookie += "-" + c.Backend.Service
	}
	return out
}

// poolCookieLength is how long the name of a cookie is that nobody named.
const poolCookieLength = 6

// poolCookie is the name that Traefik 1.7 gave the cookie of a path (server/cookie/cookie.go).
func poolCookie(pool string) string {
	sum := sha1.Sum([]byte("_TRAEFIK_BACKEND_" + pool))
	return ("_" + hex.EncodeToString(sum[:]))[:poolCookieLength]
}

// perRoute is where a claim leads, with what its Services ask of the route itself, the strictest of each, and the places of
// what shapes the route.
func (r *backendResolver) perRoute(c model.Claim, targets []model.Target) (model.Forward, model.Origins) {
	out := model.Forward{Targets: targets, Strip: c.Policies.Strip, ReplacePath: c.Policies.ReplacePath,
		ReplacePathOrigin: c.Policies.ReplacePathOrigin}
	var places model.Origins
	for _, b := range c.Backends {
		if !slices.ContainsFunc(targets, func(t model.Target) bool { return t.Origin == b.Origin && t.Closed == nil }) {
			continue
		}
		p := r.policies(c, b)
		out.Buffering = out.Buffering.Tighter(p.Buffering)
		if p.InFlight != nil {
			out.InFlight.Add(*p.InFlight)
		}
		if p.Affinity != nil {
			places = append(places, p.Affinity.Origins...)
		}
	}
	if len(out.InFlight.Limits) > 0 {
		out.InFlight.Name = fmt.Sprintf("%s/%s %s %s %s", c.Object.Cluster, c.Object.Namespace, c.Object.Name, c.Host, c.Path)
	}
	return out, slices.Concat(places, out.Buffering.Origins(), out.InFlight.Origins())
}
