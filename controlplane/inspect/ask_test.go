package inspect

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
)

// proxyAt is a proxy whose health port is the server's.
func proxyAt(t *testing.T, server *httptest.Server) xds.ProxyState {
	t.Helper()
	host, text, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return xds.ProxyState{Address: host, Client: &corev3.Node{Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		failing.PortKey: structpb.NewNumberValue(float64(port)),
	}}}}
}

func proxyNamed(t *testing.T, node string, server *httptest.Server) xds.ProxyState {
	t.Helper()
	p := proxyAt(t, server)
	p.Node = node
	return p
}

// TestAsker: what data planes say is one list; one that does not answer, or says anything else, costs no other's.
func TestAsker(t *testing.T) {
	says := func(body string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != failing.Path {
				t.Errorf("it is asked for %s", r.URL)
			}
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s
	}
	at := time.Unix(1_700_000_000, 0).UTC()
	text, err := json.Marshal([]failing.Failure{{Cluster: "default/shop/80", Reason: "connection refused", Count: 1, First: at, Last: at}})
	if err != nil {
		t.Fatal(err)
	}
	gone := says("")
	gone.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	t.Cleanup(elsewhere.Close)
	proxies := []xds.ProxyState{
		proxyAt(t, says(string(text))), proxyAt(t, says(string(text))), proxyNamed(t, "page", says("<html>")), proxyNamed(t, "gone", gone), proxyNamed(t, "elsewhere", elsewhere),
		{Address: "127.0.0.1"}, {},
	}
	log, logged := newLog()
	a := NewAsker(xds.New(xds.Options{}), log)
	a.proxies = func() []xds.ProxyState { return proxies }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	changed := make(chan struct{}, 1)
	var times atomic.Int32
	running.Go(func() {
		a.Run(ctx, func() {
			times.Add(1)
			changed <- struct{}{}
		})
	})
	if got := a.Recent(); len(got.Failures) != 0 || len(got.Silent) != 0 {
		t.Errorf("before they are asked: %v", got)
	}
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Fatal("they are not asked")
	}
	told := a.Recent()
	if got := told.Failures; len(got) != 1 || got[0].Count != 2 || got[0].Reason != "connection refused" || times.Load() != 1 {
		t.Errorf("they said %v, in %d changes", got, times.Load())
	}
	if s := told.Silent; len(s) != 3 || !strings.Contains(s["gone"], "connection refused") || !strings.Contains(s["elsewhere"], "302 Found") || s["page"] == "" {
		t.Errorf("silent are %v", s)
	}
	cancel()
	running.Wait()
	if again := a.ask(t.Context(), told.Silent); !reflect.DeepEqual(again, told) {
		t.Errorf("asked again they said %v, before %v", again, told)
	}
	if said := strings.Count(logged.String(), "does not say what fails"); said != 3 {
		t.Errorf("of three that do not answer the log says %d times, asked twice:\n%s", said, logged)
	}
}

// TestHealthAddress: a proxy cannot have anything but its own address asked, and no port that is none.
func TestHealthAddress(t *testing.T) {
	for port, want := range map[float64]string{8082: "[2001:db8::1]:8082", 0: "", -1: "", 70000: "", 1.5: ""} {
		p := xds.ProxyState{Address: "2001:db8::1", Client: &corev3.Node{Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			failing.PortKey: structpb.NewNumberValue(port),
		}}}}
		if got, ok := healthAddress(p); got != want || ok != (want != "") {
			t.Errorf("port %v gives %q", port, got)
		}
	}
}
