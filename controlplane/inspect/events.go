package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
)

const (
	// pulseInterval is how often what nobody announces is looked at, as the answers of proxies; pulseGap is the shortest time
	// between two events of a stream.
	pulseInterval = 2 * time.Second
	pulseGap      = 500 * time.Millisecond
	// heartbeat is after how long without an event a stream says that it is there, eventWaitMax how long writing one may take.
	heartbeat    = 15 * time.Second
	eventWaitMax = 10 * time.Second
	// eventRetry is after how long a browser comes again, in milliseconds.
	eventRetry = 3000
)

// pulse is an event of the stream: by another one, pages are other than before.
type pulse struct {
	Revision      xds.Revision `json:"revision"`
	Published     time.Time    `json:"published"`
	Proxies       int          `json:"proxies"`
	ProxiesInSync int          `json:"proxiesInSync"`
	// Refusals counts the NACKs that the proxies have given last.
	Refusals int `json:"refusals"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	// Failing counts the backends with failed connections, Silent the replicas of the control plane that say nothing.
	Failing int `json:"failing"`
	Silent  int `json:"silent"`
}

// pulses has the pulse that all streams share: a View copies what every proxy has.
type pulses struct {
	mu sync.Mutex
	// What follows is guarded by mu: the pulse last made, when, and of which Changed.
	last  pulse
	known bool
	at    time.Time
	of    <-chan struct{}
}

// now is a pulse that is no older than pulseGap, and no older than what Changed has told.
func (p *pulses) now(i *Inspector, changed <-chan struct{}, r *http.Request) (pulse, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == changed && time.Since(p.at) < pulseGap {
		return p.last, p.known
	}
	v, ok := i.viewFor(r)
	if p.at, p.of, p.known = time.Now(), changed, ok; ok {
		p.last = v.pulse()
	}
	return p.last, p.known
}

func (v View) pulse() pulse {
	x := v.index()
	p := pulse{Revision: v.Revision, Published: v.At, Errors: x.severities[2], Warnings: x.severities[1], Failing: len(v.Failing)}
	for _, proxy := range v.proxies() {
		if !proxy.Authorizer {
			p.Proxies++
			if v.proxyRow(proxy).Health.State == stateOK {
				p.ProxiesInSync++
			}
		}
		for _, t := range proxy.Types {
			if t.LastNACK != nil {
				p.Refusals++
			}
		}
	}
	for _, o := range v.Others {
		if o.Error != "" {
			p.Silent++
		}
	}
	return p
}

// events streams a pulse whenever it is another one, until the asker or the server goes.
func (i *Inspector) events(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	write := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(eventWaitMax))
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !write("retry: %d\n\n", eventRetry) {
		return
	}
	look := time.NewTicker(pulseInterval)
	defer look.Stop()
	var last pulse
	wrote := time.Now()
	for {
		changed := i.Changed()
		if now, ok := i.pulses.now(i, changed, r); ok {
			if now != last {
				data, err := json.Marshal(now)
				if err != nil {
					panic("inspect: " + err.Error())
				}
				if !write("event: change\nid: %d\ndata: %s\n\n", now.Revision, data) {
					return
				}
				last, wrote = now, time.Now()
				if !wait(r, pulseGap) {
					return
				}
			}
		}
		if time.Since(wrote) >= heartbeat {
			if !write(":\n\n") {
				return
			}
			wrote = time.Now()
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-look.C:
		}
	}
}

// wait is false where the request ends before.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-timer.C:
		return true
	}
}
