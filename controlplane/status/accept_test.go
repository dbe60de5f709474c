package status

import (
	"net/netip"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

var web = model.ObjectKey{Namespace: "shop", Name: "web"}

// forwarding is a publication of one Ingress that forwards to a backend with as many endpoints.
func forwarding(rev xds.Revision, endpoints int) controller.Publication {
	p := publication(rev, "web")
	a := model.Assignment{Name: "shop/web/80"}
	for range endpoints {
		a.Endpoints = append(a.Endpoints, netip.MustParseAddrPort("10.0.0.1:80"))
	}
	p.Result.Gateway = model.Gateway{
		Backends: []model.Backend{{Name: "shop/web/80/h2c", Assignment: a.Name}}, Assignments: []model.Assignment{a},
		Tables: []model.Table{{Exact: []model.HostRoutes{{Routes: []model.Route{{
			Object: model.ObjectID{Namespace: "shop", Name: "web"},
			Action: &model.Forward{Targets: []model.Target{{Backend: "shop/web/80/h2c", Weight: 1}}},
		}}}}}},
	}
	p.Snapshot = must(xds.NewSnapshot([]xds.Resource{{
		TypeURL: resource.RouteType, Name: "http", Message: &routev3.RouteConfiguration{Name: "http"},
		Origins: []diag.Origin{{Kind: "Ingress", Namespace: "shop", Name: "web"}},
	}}, nil))
	return p
}

// refusing is a proxy as serving, that refuses the routes.
func refusing(rev xds.Revision) xds.ProxyState {
	s := serving(rev)
	s.Types = append(s.Types, xds.TypeState{TypeURL: resource.RouteType, Refused: []xds.NamedVersion{{Name: "http", Version: "2"}}})
	return s
}

func TestAcceptance(t *testing.T) {
	listenerless := serving(9)
	listenerless.Types[0].TypeURL = resource.SecretType
	deaf := serving(9)
	deaf.Types[0].Refused = []xds.NamedVersion{{Name: "http", Version: "1"}}
	for _, c := range []struct {
		name  string
		begin controller.Publication
		proxy xds.ProxyState
		ready bool
		// late says whether it is after EndpointsWait.
		late bool
	}{
		{"accepted with endpoints", forwarding(2, 1), serving(2), true, true},
		{"nobody has answered yet", forwarding(2, 1), serving(1), false, false},
		{"without endpoints", forwarding(2, 0), serving(2), false, true},
		{"without endpoints, not answered", forwarding(2, 0), serving(1), false, false},
		{"refused", forwarding(2, 1), refusing(2), false, false},
		{"an authorizer is no proxy", forwarding(2, 1), listenerless, false, false},
		{"a proxy without its listener", forwarding(2, 1), deaf, false, false},
		{"nothing could be made of it", publication(2, "web"), serving(2), true, true},
	} {
		fake := newProxies()
		fake.set(c.proxy)
		o := options(fake)
		o.EndpointsWait = time.Minute
		a := newAcceptance(o)
		now := time.Now()
		a.learn(c.begin)
		a.check(c.begin, now)
		if got := a.ready(web); got != c.ready {
			t.Errorf("%s: ready is %t", c.name, got)
		}
		a.check(c.begin, now.Add(o.EndpointsWait))
		if got := a.ready(web); got != c.late {
			t.Errorf("%s: after EndpointsWait ready is %t", c.name, got)
		}
	}
}

// TestEndpointsMustBeAccepted: the revision that brings the endpoints counts, not the one that brought the routes; what
// was ready stays so when the endpoints go.
func TestEndpointsMustBeAccepted(t *testing.T) {
	fake := newProxies()
	fake.set(serving(1))
	a := newAcceptance(options(fake))
	for _, step := range []struct {
		publish  controller.Publication
		answered xds.Revision
		ready    bool
	}{
		{forwarding(1, 0), 1, false}, {forwarding(2, 1), 1, false}, {forwarding(2, 1), 2, true}, {forwarding(3, 0), 3, true},
	} {
		fake.set(serving(step.answered))
		a.learn(step.publish)
		a.check(step.publish, time.Now())
		if got := a.ready(web); got != step.ready {
			t.Errorf("revision %d, answered %d: ready is %t", step.publish.Revision, step.answered, got)
		}
	}
	a.learn(publication(4))
	a.learn(forwarding(5, 1))
	if a.ready(web) {
		t.Error("an Ingress that was gone is ready before its new routes are accepted")
	}
}

// TestAcceptanceFollows: the goroutine notices publications and answers by itself.
func TestAcceptanceFollows(t *testing.T) {
	fake := newProxies()
	s, stop := start(t, fakeClient(), options(fake))
	defer stop()
	changed := s.acceptance.watch()
	s.Published(forwarding(1, 1))
	eventually(t, "waits alone", s.acceptance.waitsAlone)
	fake.set(serving(1))
	select {
	case <-changed:
	case <-time.After(hangMax):
		t.Fatal("nothing accepted")
	}
	if !s.acceptance.ready(web) || s.acceptance.waitsAlone() {
		t.Error("what is accepted is not ready")
	}
}
