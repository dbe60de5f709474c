package inspect

import (
	"bytes"
	"slices"
	"time"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
)

// revisionsMax is how many revisions are known by the time of their publication.
const revisionsMax = 1024

// ages say since when each resource is served by its version in this process. They hold no more than what is served.
type ages struct {
	types        map[string]typeAges
	certificates map[string]certificateAge
	// revisions are the latest, the oldest first.
	revisions []publishedAt
}

// typeAges are of one type: since belongs to the names, which are the snapshot's own.
type typeAges struct {
	names, versions []string
	since           []time.Time
}

// certificateAge is of a certificate that handshakes ask for.
type certificateAge struct {
	chain []byte
	since time.Time
}

type publishedAt struct {
	revision xds.Revision
	at       time.Time
}

// next are the ages with one publication more. It takes over what is not other than before.
func (a ages) next(p controller.Publication, at time.Time) ages {
	out := ages{types: map[string]typeAges{}, certificates: a.certificates}
	for _, typeURL := range xds.Types() {
		names, versions := p.Snapshot.Versions(typeURL)
		out.types[typeURL] = a.types[typeURL].next(names, versions, at)
	}
	if !p.EndpointsOnly || a.certificates == nil {
		out.certificates = nextCertificates(a.certificates, p.Result.Gateway, at)
	}
	kept := a.revisions[max(0, len(a.revisions)+1-revisionsMax):]
	out.revisions = append(kept, publishedAt{p.Revision, at})
	return out
}

func (t typeAges) next(names, versions []string, at time.Time) typeAges {
	if len(names) == len(t.names) && (len(names) == 0 || &names[0] == &t.names[0]) {
		return t
	}
	out := typeAges{names: names, versions: versions, since: make([]time.Time, len(names))}
	before := 0
	for i, name := range names {
		for before < len(t.names) && t.names[before] < name {
			before++
		}
		out.since[i] = at
		if before < len(t.names) && t.names[before] == name && t.versions[before] == versions[i] {
			out.since[i] = t.since[before]
		}
	}
	return out
}

func nextCertificates(before map[string]certificateAge, g model.Gateway, at time.Time) map[string]certificateAge {
	out := make(map[string]certificateAge, len(g.Certificates)+1)
	add := func(name string, c model.Certificate) {
		since := at
		if was, ok := before[name]; ok && bytes.Equal(was.chain, c.Chain) {
			since = was.since
		}
		out[name] = certificateAge{c.Chain, since}
	}
	for _, c := range g.Certificates {
		add(c.Host.String(), c)
	}
	if g.Default != nil {
		add(envoy.DefaultSecretName, *g.Default)
	}
	return out
}

// of is since when a resource is served as it is; false for what is not served.
func (a ages) of(typeURL, name string) (time.Time, bool) {
	t := a.types[typeURL]
	if i, ok := slices.BinarySearch(t.names, name); ok {
		return t.since[i], true
	}
	if c, ok := a.certificates[name]; ok && typeURL == envoy.TypeSecret {
		return c.since, true
	}
	return time.Time{}, false
}

// published is when a revision was published, or the oldest one that is known.
func (a ages) published(revision xds.Revision) time.Time {
	i, _ := slices.BinarySearchFunc(a.revisions, revision, func(p publishedAt, r xds.Revision) int {
		return int(int64(p.revision) - int64(r))
	})
	if i == len(a.revisions) {
		return time.Time{}
	}
	return a.revisions[i].at
}
