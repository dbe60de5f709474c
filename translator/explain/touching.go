package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// touching are the diagnostics about what the story names: the same field, one around it or one within it. Errors come
// first; of one severity they keep their order.
func (s *Story) touching(ds []diag.D) []diag.D {
	places := s.places()
	var out []diag.D
	for _, d := range ds {
		told := append([]diag.Origin{d.Origin}, d.Others...)
		if slices.ContainsFunc(told, func(p diag.Origin) bool {
			return slices.ContainsFunc(places, func(o diag.Origin) bool { return touches(p, o) })
		}) || s.missesCertificate(d) {
			out = append(out, d)
		}
	}
	// What is worse is rather the cause.
	slices.SortStableFunc(out, func(a, b diag.D) int { return cmp.Compare(b.Severity, a.Severity) })
	return out
}

// places are all that the story comes from. Of an EndpointSlice it is the whole object: what is wrong with another of its
// endpoints is why that one is not here.
func (s *Story) places() model.Origins {
	out := slices.Clone(s.Origins)
	for _, p := range s.Policies {
		out = append(out, p.Origins...)
	}
	for _, u := range s.Unserved {
		out = append(out, u.Origin)
	}
	if s.Certificate != nil {
		out = append(out, s.Certificate.Origins...)
	}
	if s.Connection != nil {
		out = append(out, s.Connection.Origins...)
	}
	decisions := []Decision{s.Decision}
	for _, share := range s.Decision.Shares {
		decisions = append(decisions, share.Decision)
	}
	for _, d := range decisions {
		for _, e := range d.EndpointHealth {
			if e.Origin != nil {
				slice := *e.Origin
				slice.Field = ""
				out = append(out, slice)
			}
		}
	}
	return out
}

// missesCertificate says whether a diagnostic tells why an object of the route has no certificate of its own, where the
// default one is served.
func (s *Story) missesCertificate(d diag.D) bool {
	if s.Certificate == nil || s.Certificate.Host != "" || d.Code != diag.CodeNoSecret && d.Code != diag.CodeBadCertificate {
		return false
	}
	return slices.ContainsFunc(s.Origins, func(o diag.Origin) bool { return sameObject(d.Origin, o) })
}

func sameObject(p, o diag.Origin) bool {
	return p.Cluster == o.Cluster && p.Kind == o.Kind && p.Namespace == o.Namespace && p.Name == o.Name
}

func touches(p, o diag.Origin) bool {
	if !sameObject(p, o) {
		return false
	}
	if o.Annotation != "" && p.Annotation == "" {
		return p.Field == ""
	}
	// An annotation bears on every route of its object.
	return p.Annotation != "" || strings.HasPrefix(p.Field, o.Field) || strings.HasPrefix(o.Field, p.Field)
}
