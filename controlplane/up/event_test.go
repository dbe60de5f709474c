package up

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// toldEvent is an event as its reader sees it.
type toldEvent struct {
	event
	Diagnostic struct{ Code, Severity, Message string } `json:"diagnostic"`
}

// events are the lines of standard output, each of which must be JSON with a time and a kind.
func (g *gateway) events() []toldEvent {
	g.t.Helper()
	var out []toldEvent
	for decoder := json.NewDecoder(strings.NewReader(g.out.String())); ; {
		var e toldEvent
		err := decoder.Decode(&e)
		if err == io.EOF {
			return out
		}
		if err != nil || e.Time.IsZero() || e.Kind == "" {
			g.t.Fatalf("%+v, %v in:\n%s", e, err, g.out)
		}
		out = append(out, e)
	}
}

func (g *gateway) waitEvent(kind eventKind) toldEvent {
	g.t.Helper()
	limit := time.After(waitMax)
	for {
		all := g.events()
		if i := slices.IndexFunc(all, func(e toldEvent) bool { return e.Kind == kind }); i >= 0 {
			return all[i]
		}
		select {
		case <-g.out.more:
		case <-limit:
			g.t.Fatalf("there is no event %s; out:\n%s\nerr:\n%s", kind, g.out, g.err)
		}
	}
}

// TestEventsAsJSON: with -o json everything that is told is an event on standard output, and nothing is on standard error.
func TestEventsAsJSON(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		closed := strings.Replace(ingress("closed", "closed.test", "/", "gone", "127.0.0.1:1"), "kind: Service", "kind: ConfigMap", 1)
		g := newGateway(t, map[string]string{
			"a.yaml": ingress("a", "a.test", "/", "a", backend(t, "one")),
			"b.yaml": ingress("down", "down.test", "/", "down", traffic.Address(t)),
			"c.yaml": closed,
		})
		g.output = OutputJSON
		g.start(dataPlane, nil)
		serving := g.waitEvent(eventServing)
		if serving.DataPlane != dataPlane || len(serving.Entries) != 2 || serving.Entries[0].URL != "http://"+g.http {
			t.Errorf("serving: %+v", serving)
		}
		want := []servedRoute{
			{Host: "a.test", Path: "/*", Targets: []servedTarget{{Backend: "default/a/80"}}},
			{Host: "closed.test", Path: "/*", Targets: []servedTarget{{Closed: "there is no Service default/gone"}}},
			{Host: "down.test", Path: "/*", Targets: []servedTarget{{Backend: "default/down/80"}}},
		}
		if got := serving.Entries[0].Routes; !reflect.DeepEqual(got, want) {
			t.Errorf("the routes are %+v, want %+v", got, want)
		}
		if d := g.waitEvent(eventDiagnostic).Diagnostic; d.Code != "P5001" || d.Severity != "error" || d.Message == "" {
			t.Errorf("the diagnostic is %+v", d)
		}
		g.want(client(t), "down.test", "/", http.StatusServiceUnavailable, "")
		if e := g.waitEvent(eventBackendFailed); e.Backend != "default/down/80" || e.Reason == "" {
			t.Errorf("the failure is %+v", e)
		}
		g.write("c.yaml", ingress("closed", "closed.test", "/", "gone", backend(t, "two")))
		if e := g.waitEvent(eventLive); !strings.HasSuffix(e.Change, "c.yaml") {
			t.Errorf("live is %+v", e)
		}
		if e := g.waitEvent(eventSolved); e.Solved == 0 {
			t.Errorf("solved is %+v", e)
		}
		if g.err.String() != "" {
			t.Errorf("standard error has:\n%s", g.err)
		}
	})
}
