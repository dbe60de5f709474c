package chaos

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// roundsInARow is how many requests every client makes for three rotations at least.
const roundsInARow = 3

// rotated is a certificate that is replaced again and again, with all that it was. Until one is known to be served, the
// ones before it may be.
type rotated struct {
	// host asks for it by SNI, and name is the one that it is made for.
	host, name string
	write      func(pair)

	mu sync.Mutex
	// serials grow; served is the index of the one that is served. Both are guarded by mu.
	serials []string
	served  int
}

// rotate writes a new one.
func (r *rotated) rotate(t *testing.T) {
	t.Helper()
	p := newPair(t, r.name)
	r.mu.Lock()
	r.serials = append(r.serials, p.serial)
	r.mu.Unlock()
	r.write(p)
}

// since is the oldest certificate that a handshake which begins now may get, and latest the one that was written last.
func (r *rotated) since() (since, latest int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served, len(r.serials) - 1
}

func (r *rotated) settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served = len(r.serials) - 1
}

// judge says which certificate was shown.
func (r *rotated) judge(since int, serial string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.serials[since:], serial); i >= 0 {
		return since + i, nil
	}
	if i := slices.Index(r.serials, serial); i >= 0 {
		return i, fmt.Errorf("certificate %d of %s is shown, and %d was served already", i, r.host, since)
	}
	return 0, fmt.Errorf("a certificate is shown that %s never had", r.host)
}

// shake makes a handshake, verifies the certificate and asks for something.
func (r *rotated) shake(g *gateway, version uint16) (int, error) {
	since, _ := r.since()
	settings := trusting(r.host)
	settings.MinVersion, settings.MaxVersion = version, version
	// The default certificate is for no host that asks for it: its chain is verified for its own name.
	settings.InsecureSkipVerify = r.name != r.host
	c := traffic.Dial(g.https, settings)
	defer c.Close()
	a, err := c.Get(r.host, "/steady")
	if err != nil {
		return 0, err
	}
	if a.Status != http.StatusOK && a.Status != http.StatusNotFound {
		return 0, fmt.Errorf("status %d", a.Status)
	}
	return r.judge(since, a.Certificate.SerialNumber.String())
}

// TestRotation: certificates are replaced again and again under handshakes: those of hosts, of a wildcard, and the default
// one. Each handshake gets a valid one, the newest or the one before, and in the end the newest.
func TestRotation(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		size, g := size(), newGateway(t)
		at := traffic.Listen(t, "rotated").Address()
		var all []*rotated
		for _, name := range []string{"one", "two", "wild"} {
			r := &rotated{host: name + ".rotated.test", name: name + ".rotated.test"}
			rule := r.host
			if name == "wild" {
				r.host, r.name, rule = "any.wild.test", "any.wild.test", "*.wild.test"
			}
			r.write = func(p pair) { g.replace(name+".yaml", ingress(name, rule, "")+service(name, "", at)+secret(name, p)) }
			all = append(all, r)
		}
		all = append(all, &rotated{host: "nobody.test", name: "default.test", write: g.writeDefault})
		for _, r := range all {
			r.rotate(t)
		}
		g.up(dataPlane)
		elsewhere := watchElsewhere(t, g)
		clients := elsewhere.clients()
		for _, r := range all {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				clients = append(clients, traffic.Client{Kind: "handshake for " + r.host, Ask: func() error {
					_, err := r.shake(g, version)
					return err
				}})
			}
		}
		load := traffic.Start(clients...)
		for i := range size.rotations {
			// The last of three rotations in a row is waited for.
			r := all[i/3%len(all)]
			r.rotate(t)
			if i%3 == 2 || i == size.rotations-1 {
				awaitLatest(t, g, r)
				if err := load.Rounds(roundsInARow); err != nil {
					t.Fatal(err)
				}
			}
		}
		load.Stop().Check(t, int64(size.rotations))
		elsewhere.check()
		for _, r := range all {
			awaitLatest(t, g, r)
		}
		t.Logf("%d rotations", size.rotations)
	})
}

// awaitLatest waits until the certificate that was written last is the one that is served.
func awaitLatest(t *testing.T, g *gateway, r *rotated) {
	t.Helper()
	_, latest := r.since()
	eventually(t, "the newest certificate of "+r.host, func() error {
		for range inARow {
			i, err := r.shake(g, tls.VersionTLS13)
			if err == nil && i != latest {
				err = fmt.Errorf("certificate %d is served, and not %d", i, latest)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	r.settle()
}
