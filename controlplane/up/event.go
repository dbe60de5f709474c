package up

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
)

// The forms of what is told.
const (
	OutputText = "text"
	OutputJSON = "json"
)

// event is one thing that the operator is told: text, or with OutputJSON one line of JSON whose fields are described in
// docs/operate/up.md.
type event struct {
	Time time.Time `json:"time"`
	Kind eventKind `json:"event"`
	// Message is a sentence, where the other fields do not say it all.
	Message    string  `json:"message,omitempty"`
	Diagnostic *diag.D `json:"diagnostic,omitempty"`
	// Solved counts diagnostics that are gone.
	Solved    int           `json:"solved,omitempty"`
	DataPlane string        `json:"dataPlane,omitempty"`
	Entries   []servedEntry `json:"entries,omitempty"`
	// Change names what was edited; it took Milliseconds to be live.
	Change       string   `json:"change,omitempty"`
	Milliseconds int64    `json:"milliseconds,omitempty"`
	Refused      []string `json:"refused,omitempty"`
	// Backend failed for Reason; Fix is what to do, where that is known.
	Backend string `json:"backend,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Fix     string `json:"fix,omitempty"`

	// text is what people read; alarming text goes to standard error.
	text     string
	alarming bool
}

// eventKind says what an event is about.
type eventKind string

const (
	eventNote          eventKind = "note"
	eventDiagnostic    eventKind = "diagnostic"
	eventSolved        eventKind = "solved"
	eventServing       eventKind = "serving"
	eventLive          eventKind = "live"
	eventNotLive       eventKind = "not-live"
	eventRefused       eventKind = "refused"
	eventBackendFailed eventKind = "backend-failed"
)

// servedEntry is an open entry and its routes, in the order of their hosts.
type servedEntry struct {
	Entry  string        `json:"entry"`
	URL    string        `json:"url"`
	Routes []servedRoute `json:"routes"`
}

// servedRoute is a route as it is listed.
type servedRoute struct {
	// Host is * for routes of no host; Default marks those of default backends.
	Host    string `json:"host"`
	Default bool   `json:"default,omitempty"`
	Path    string `json:"path"`
	// Targets are where its requests go: several share them out by weight.
	Targets []servedTarget `json:"targets"`
	// HTTPSRedirect says that plain requests are redirected first.
	HTTPSRedirect bool `json:"httpsRedirect,omitempty"`
}

// servedTarget is a backend by its name, or why 503 is answered in its place.
type servedTarget struct {
	Backend string `json:"backend,omitempty"`
	Closed  string `json:"closed,omitempty"`
}

// String is the route in one line.
func (r servedRoute) String() string {
	host := r.Host
	if r.Default {
		host += " (default)"
	}
	var to []string
	for _, t := range r.Targets {
		if t.Closed != "" {
			to = append(to, "503: "+t.Closed)
		} else {
			to = append(to, t.Backend)
		}
	}
	text := host + " " + r.Path + " → "
	if r.HTTPSRedirect {
		text += "redirect to https, then "
	}
	return text + strings.Join(to, " or ")
}

// teller writes events.
type teller struct {
	output   string
	out, err io.Writer
	// mu guards the writers.
	mu sync.Mutex
}

func (t *teller) tell(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.output == OutputJSON {
		e.Time = time.Now().UTC()
		// The types of an event always marshal; that nobody reads is no concern of ours.
		_ = json.NewEncoder(t.out).Encode(e)
		return
	}
	to := t.out
	if e.alarming {
		to = t.err
	}
	fmt.Fprintln(to, strings.TrimSuffix(e.text, "\n"))
}
