package pod_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/dataplane/pod"
)

// service leads new connections to one of two data planes, as a Service does by what is ready.
type service struct {
	t     *testing.T
	at    atomic.Pointer[proxy]
	dials atomic.Int64
}

// client asks by a connection that it keeps as long as it may. No request of it is made twice: it is a POST whose body
// cannot be had again.
func (s *service) client(kind string, settings *tls.Config) traffic.Client {
	var protocols http.Protocols
	protocols.SetHTTP2(settings != nil)
	protocols.SetHTTP1(settings == nil)
	transport := &http.Transport{
		MaxConnsPerHost: 1, TLSClientConfig: settings, Protocols: &protocols,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			s.dials.Add(1)
			address := s.at.Load().http
			if settings != nil {
				address = s.at.Load().https
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	url := "http://" + host + "/"
	if settings != nil {
		url = "https://" + host + "/"
	}
	return traffic.Client{Kind: kind, Ask: func() error {
		body := io.NopCloser(bytes.NewReader([]byte("once")))
		request, err := http.NewRequest(http.MethodPost, url, body)
		if err != nil {
			return err
		}
		request.ContentLength = 4
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && settings != nil && (response.StatusCode != http.StatusOK || string(text) != "hello") {
			err = fmt.Errorf("%d %q", response.StatusCode, text)
		}
		if err == nil && response.StatusCode >= http.StatusInternalServerError {
			err = fmt.Errorf("%d %q", response.StatusCode, text)
		}
		return err
	}}
}

// TestDrainUnderLoad: a data plane is taken away under load, and no request fails of clients that do as they are told. Until
// the delay is over new connections are served too.
func TestDrainUnderLoad(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		s := newSite(t)
		leaving := s.prepare(dataPlane)
		leaving.config.DrainDelay = time.Second
		s.controlPlane(s.publication(leaving.http, leaving.https))
		leaving.start()
		leaving.awaitHealth("/readyz", http.StatusOK)
		other := newSite(t)
		staying := other.prepare(pod.Go)
		other.controlPlane(other.publication(staying.http, staying.https))
		staying.start()
		staying.awaitHealth("/readyz", http.StatusOK)

		balanced := &service{t: t}
		balanced.at.Store(leaving)
		h2 := &tls.Config{RootCAs: casetest.ClientCAs(), ServerName: host, NextProtos: []string{"h2"}}
		var clients []traffic.Client
		for range 4 {
			clients = append(clients, balanced.client("HTTP/1", nil), balanced.client("HTTP/2", h2.Clone()))
		}
		load := traffic.Start(clients...)
		if err := load.Rounds(20); err != nil {
			t.Fatal(err)
		}
		dialled := balanced.dials.Load()
		began := time.Now()
		leaving.signal(syscall.SIGTERM)
		leaving.awaitHealth("/readyz", http.StatusServiceUnavailable)
		if status, _ := leaving.health("/healthz"); status != http.StatusOK {
			t.Errorf("while it drains /healthz says %d", status)
		}
		if err := leaving.get(); err != nil {
			t.Errorf("a new connection within the delay: %v", err)
		}
		if moved := balanced.dials.Load(); moved != dialled {
			t.Errorf("%d connections were ended within the delay", moved-dialled)
		}
		balanced.at.Store(staying)
		leaving.awaitEnd()
		took := time.Since(began)
		if leaving.err != nil {
			t.Errorf("it ends with %v", leaving.err)
		}
		if took < leaving.config.DrainDelay || took > waitMax {
			t.Errorf("it ended after %s", took)
		}
		if err := leaving.get(); err == nil {
			t.Error("something answers at its address")
		}
		if err := load.Rounds(5); err != nil {
			t.Fatal(err)
		}
		load.Stop().Check(t, 20)
		t.Logf("gone after %s; connections were made anew %d times", took.Round(time.Millisecond), balanced.dials.Load()-dialled)
	})
}

// ready starts a data plane of a site of its own, and waits until it serves.
func ready(t *testing.T, dataPlane string, change func(*pod.Config)) *proxy {
	t.Helper()
	s := newSite(t)
	p := s.prepare(dataPlane)
	change(&p.config)
	s.controlPlane(s.publication(p.http, p.https))
	p.start()
	p.awaitHealth("/readyz", http.StatusOK)
	return p
}

// TestDrainHasAnEnd: a connection that nobody ends does not keep the process.
func TestDrainHasAnEnd(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		p := ready(t, dataPlane, func(c *pod.Config) { c.DrainTimeout = 500 * time.Millisecond })
		kept := traffic.Dial(p.http, nil)
		defer kept.Close()
		if _, err := kept.Get(host, "/"); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGTERM)
		p.awaitEnd()
		if p.err != nil || !strings.Contains(p.words(), "the drain was cut short") {
			t.Errorf("it ends with %v and says\n%s", p.err, p.words())
		}
	})
}

// TestPreStopAndSignalDrainOnce: the hook returns when the drain is over, and the signal after it ends the process at once;
// a signal while the hook waits begins nothing anew.
func TestPreStopAndSignalDrainOnce(t *testing.T) {
	for name, early := range map[string]bool{"signal after the hook": false, "signal within the hook": true} {
		t.Run(name, func(t *testing.T) {
			eachDataPlane(t, func(t *testing.T, dataPlane string) {
				p := ready(t, dataPlane, func(c *pod.Config) { c.DrainDelay = time.Second })
				hook := make(chan error, 1)
				ctx, cancel := context.WithTimeout(t.Context(), waitMax)
				defer cancel()
				began := time.Now()
				go func() { hook <- pod.Drain(ctx, p.config.Folder) }()
				p.awaitHealth("/readyz", http.StatusServiceUnavailable)
				if early {
					p.signal(syscall.SIGTERM)
				}
				if err := <-hook; err != nil {
					t.Fatal(err)
				}
				if !early {
					p.signal(syscall.SIGTERM)
				}
				p.awaitEnd()
				took := time.Since(began)
				if n := strings.Count(p.words(), "not ready any more"); p.err != nil || n != 1 || took < p.config.DrainDelay {
					t.Errorf("it ends with %v after %s and %d drains:\n%s", p.err, took, n, p.words())
				}
				t.Logf("ended after %s, with a delay of %s", took.Round(time.Millisecond), p.config.DrainDelay)
			})
		})
	}
}

// TestSecondSignalEndsAtOnce whatever the delay is.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		p := ready(t, dataPlane, func(c *pod.Config) { c.DrainDelay = time.Hour })
		p.signal(syscall.SIGTERM)
		p.awaitHealth("/readyz", http.StatusServiceUnavailable)
		p.signal(syscall.SIGTERM)
		p.awaitEnd()
		if p.err == nil || !strings.Contains(p.words(), "second signal") {
			t.Errorf("it ends with %v and says\n%s", p.err, p.words())
		}
	})
}

func TestDrainNeedsAProcess(t *testing.T) {
	for _, folder := range []string{"", t.TempDir()} {
		if err := pod.Drain(t.Context(), folder); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the folder %q: %v", folder, err)
		}
	}
}
