package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/dataplane/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked records what a store of secrets subscribes to.
type asked struct{ now map[string]bool }

func newStore() (*secrets, *asked) {
	a := &asked{now: make(map[string]bool)}
	return newSecrets(func(n string) { a.now[n] = true }, func(n string) { delete(a.now, n) }), a
}

func TestSecretWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, subscribed := newStore()
		want := &tls.Certificate{}
		got := make(chan error, 2)
		for range 2 {
			go func() {
				certificate, err := store.get(t.Context(), "a.test")
				if err == nil && certificate != want {
					err = errors.New("another certificate")
				}
				got <- err
			}()
		}
		synctest.Wait()
		store.set("a.test", want)
		for range 2 {
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
		if certificate, err := store.get(t.Context(), "a.test"); certificate != want || err != nil {
			t.Errorf("held: %v", err)
		}
		store.remove("a.test")
		if subscribed.now["a.test"] || len(store.names) != 0 || store.used.Len() != 0 || store.waiting != 0 {
			t.Errorf("after removal: %v %v", subscribed.now, store.names)
		}
	})
}

func TestSecretFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, subscribed := newStore()
		got := make(chan error, 1)
		began := time.Now()
		go func() { _, err := store.get(t.Context(), "a.test"); got <- err }()
		synctest.Wait()
		store.remove("a.test") // the control plane has nothing
		if err := <-got; !errors.Is(err, errNoSecret) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		go func() { _, err := store.get(t.Context(), "a.test"); got <- err }() // the control plane is away
		if err := <-got; !errors.Is(err, errSecretTimeout) || time.Since(began) != secretWaitMax {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, err := store.get(ctx, "a.test"); got <- err }() // the client goes away, another stays
		go func() { _, err := store.get(t.Context(), "a.test"); got <- err }()
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		store.set("a.test", &tls.Certificate{})
		if err := <-got; err != nil {
			t.Errorf("the one that stayed: %v", err)
		}
		for _, name := range []string{"", "trust/upstream", "a b", "a\x00", "é.test", strings.Repeat("a", 256)} {
			if _, err := store.get(t.Context(), name); !errors.Is(err, errSNI) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if len(subscribed.now) != 1 || store.waiting != 0 {
			t.Errorf("still asked for: %v, %d waiting", subscribed.now, store.waiting)
		}
	})
}

func TestSecretBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, subscribed := newStore()
		hold := func(name string) {
			done := make(chan struct{})
			go func() { store.get(t.Context(), name); close(done) }()
			synctest.Wait()
			store.set(name, &tls.Certificate{})
			<-done
		}
		hold("kept.test")
		hold("oldest.test")
		for i := range heldNamesMax - 2 {
			hold(fmt.Sprintf("n%d.test", i))
		}
		store.get(t.Context(), "kept.test") // used again
		hold("more.test")
		if len(store.names) != heldNamesMax || !subscribed.now["kept.test"] || subscribed.now["oldest.test"] {
			t.Errorf("%d names held", len(store.names))
		}
		for i := range waitingNamesMax {
			go store.get(t.Context(), fmt.Sprintf("w%d.test", i))
		}
		synctest.Wait()
		if _, err := store.get(t.Context(), "flood.test"); !errors.Is(err, errSecretFlood) {
			t.Errorf("beyond the bound: %v", err)
		}
	})
}

func TestWords(t *testing.T) {
	at := func(err error) error { return &endpointError{"10.0.0.1:80", err} }
	dial := func(err error) error {
		return at(&connectError{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}})
	}
	for want, err := range map[string]error{
		"connection refused":                                              dial(syscall.ECONNREFUSED),
		"no connection within the connect timeout":                        at(&connectError{context.DeadlineExceeded}),
		"the endpoint closed the connection without an answer":            at(io.ErrUnexpectedEOF),
		"its endpoints have not arrived":                                  errNotArrived,
		"it has no endpoints":                                             errNoEndpoints,
		"the endpoint's certificate has expired or is not valid yet":      at(&connectError{x509.CertificateInvalidError{Reason: x509.Expired}}),
		"the endpoint's certificate is not signed by a trusted authority": at(&connectError{fmt.Errorf("TLS: %w", x509.UnknownAuthorityError{})}),
		"the endpoint does not speak TLS":                                 at(&connectError{tls.RecordHeaderError{}}),
		"the endpoint's answer is not HTTP of the cluster's version":      at(errors.New(`net/http: malformed HTTP response "x"`)),
		"dial tcp: connect: no route to host":                             dial(syscall.EHOSTUNREACH),
	} {
		if got := words(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := words(errors.New(strings.Repeat("é", 1000))); len(got) > reasonBytesMax {
		t.Errorf("%d bytes", len(got))
	}
}

func TestFailuresAreReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		f := &failures{cluster: "c", tell: func(_, _, reason string) { told = append(told, reason) }}
		other := errors.New("other")
		for range 3 {
			f.report(errNoEndpoints)
			time.Sleep(time.Minute) // synctest's clock
		}
		f.report(other)
		f.report(errNoEndpoints) // too soon after the last
		time.Sleep(failureIntervalMin)
		f.report(other)
		f.clear()
		time.Sleep(failureIntervalMin)
		f.report(other)
		if want := []string{"it has no endpoints", "other", "other"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestClean(t *testing.T) {
	for _, tc := range []struct {
		in      http.Header
		want    string // names left, sorted
		upgrade upgradeKind
		ok      bool
	}{
		{http.Header{"A": {"1"}, "Connection": {"close"}}, "[A]", noUpgrade, true},
		{http.Header{"A": {"1"}, "B": {"1"}, "Connection": {"a , Close", "B"}}, "[]", noUpgrade, true},
		{http.Header{"Connection": {"Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Key": {"x"}}, "[Connection Sec-Websocket-Key Upgrade]", webSocket, true},
		{http.Header{"Upgrade": {"websocket"}}, "[]", noUpgrade, true},
		{http.Header{"Connection": {"Upgrade"}, "Upgrade": {"h2c"}, "Http2-Settings": {"x"}}, "[]", noUpgrade, true},
		{http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket", "h2c"}}, "[Connection Upgrade]", otherUpgrade, true},
		{http.Header{"Connection": {"Upgrade"}, "Upgrade": {""}}, "[Connection Upgrade]", otherUpgrade, true},
		{http.Header{"Connection": {"Upgrade"}}, "[]", noUpgrade, true},
		{http.Header{"Connection": {"a,,b, c,d", "e,f,g,h,close"}}, "[]", noUpgrade, true},
		{http.Header{"Connection": {"a,b,c,d", "e,f,g,h,i,close"}}, "", noUpgrade, false},
		{http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tls/1.0"}}, "[Connection Upgrade]", otherUpgrade, true},
		{http.Header{"Te": {"trailers"}, "Connection": {"te"}}, "[Te]", noUpgrade, true},
		{http.Header{"Te": {"gzip, trailers"}, "X-Forwarded-Client-Cert": {"x"}, "Expect": {"100-continue"}}, "[Te]", noUpgrade, true},
		{http.Header{"Te": {"gzip"}}, "[]", noUpgrade, true},
		{http.Header{"Connection": {"X-Forwarded-For"}}, "", noUpgrade, false},
		{http.Header{"Connection": {"close, :path"}}, "", noUpgrade, false},
	} {
		in := fmt.Sprint(tc.in)
		upgrade, ok := clean(tc.in)
		var left []string
		for name := range tc.in {
			left = append(left, name)
		}
		slices.Sort(left)
		if upgrade != tc.upgrade || ok != tc.ok || ok && fmt.Sprint(left) != tc.want {
			t.Errorf("%s: %v %v, %v left", in, upgrade, ok, left)
		}
	}
}

// TestDraw: each cluster is drawn as often as its weight says, within five standard deviations; one without weight is
// never.
func TestDraw(t *testing.T) {
	clusters := []config.WeightedCluster{{Name: "a", Weight: 1}, {Name: "none"}, {Name: "b", Weight: 3}}
	drawn := map[string]int{}
	for range 4000 {
		drawn[draw(clusters).Name]++
	}
	if a := drawn["a"]; a < 860 || a > 1140 || drawn["none"] > 0 || a+drawn["b"] != 4000 {
		t.Errorf("of 4000 requests with the weights 1, 0 and 3: %v", drawn)
	}
	if one := draw(clusters[:1]); one.Name != "a" {
		t.Errorf("of one cluster %q is drawn", one.Name)
	}
}

func TestTarget(t *testing.T) {
	for _, path := range []string{"/", "//", "//?q", "/a%20b;c+d", "/a?", "/a?b?c=%zz", "/%c3%a9", "/a'b(c)[d]", "//x%2cy/z"} {
		u := target("http", path)
		u.Host = "10.0.0.1:80"
		if got := u.RequestURI(); got != path {
			t.Errorf("%q goes out as %q", path, got)
		}
	}
}
