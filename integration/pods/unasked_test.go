package pods

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// wildcard is a host with names without number that nobody has asked for yet. Each is a certificate of its own to a data
// plane, which asks its control plane for it in the first handshake.
const (
	unasked       = "unasked"
	unaskedDomain = "unasked.test"
	wildcard      = `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: unasked, namespace: shop}
spec:
  ingressClassName: postern
  tls: [{hosts: ["*.unasked.test"], secretName: unasked}]
  rules: [{host: "*.unasked.test", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: steady-0, port: {number: 80}}}}]}}]
`
)

// addUnasked creates the wildcard.
func (l *lab) addUnasked() {
	l.t.Helper()
	l.cluster.Apply(l.t, wildcard+secret(unasked, casetest.NewPair("*."+unaskedDomain, casetest.SignedByCA)))
}

// askUnasked asks for the nth of the names, over a connection of its own.
func askUnasked(n int) error {
	host := fmt.Sprintf("name-%d.%s", n, unaskedDomain)
	c := traffic.Dial(entryHTTPS, trusting(host, "h2"))
	defer c.Close()
	a, err := c.Get(host, "/")
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %.200q", a.Status, a.Body)
	}
	return err
}

// firsts are first handshakes of names, each begun while no control plane runs. They are counted apart from the load: they
// wait for a certificate, and may end without it.
type firsts struct {
	waits    durations
	unserved []error
}

// first is one of them.
type first struct {
	n    int
	done chan struct{}
	// took and err are set before done is closed.
	took time.Duration
	err  error
}

// begin asks for the nth name; nobody waits for the answer.
func (*firsts) begin(n int) *first {
	f := &first{n: n, done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(f.done)
		f.err = askUnasked(n)
		f.took = time.Since(began)
	}()
	return f
}

// waiting fails the test where it has been served, though no control plane runs.
func (f *first) waiting(t *testing.T) {
	t.Helper()
	select {
	case <-f.done:
		if f.err == nil {
			t.Errorf("name %d, which nobody had asked for, is served without a control plane", f.n)
		}
	default:
	}
}

// end waits for its end, whatever that is; from then on the name is served.
func (all *firsts) end(t *testing.T, f *first) {
	t.Helper()
	<-f.done
	if f.err == nil {
		all.waits.add(f.took)
	} else {
		all.unserved = append(all.unserved, f.err)
	}
	if err := askUnasked(f.n); err != nil {
		t.Errorf("name %d, with a control plane: %v", f.n, err)
	}
}

func (all *firsts) String() string {
	return fmt.Sprintf("%d were served, after %s, %d were not: %v", len(all.waits.all), &all.waits, len(all.unserved), all.unserved)
}
