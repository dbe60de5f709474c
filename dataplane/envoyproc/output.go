package envoyproc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"

	"github.com/postern-gateway/postern/dataplane/failing"
)

const (
	// lineBytesMax cuts longer lines of Envoy's output.
	lineBytesMax = 64 << 10
	// lastLinesMax is how many lines of stderr an unexpected exit is reported with.
	lastLinesMax = 20
	// failuresMax bounds the cluster and reason pairs that are remembered as reported; then new ones are dropped.
	failuresMax = 1000
	// reasonBytesMax cuts longer reasons.
	reasonBytesMax = 512
)

// logFormat is what Envoy writes to stderr: level, component, words, separated so that they can be told apart.
const logFormat = "%l|%n|%v"

// lines calls do for each line of r, cut at lineBytesMax, until r ends.
func lines(r io.Reader, do func(line []byte)) {
	b := bufio.NewReaderSize(r, lineBytesMax)
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			do(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = b.ReadSlice('\n')
			}
			line = nil
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			do(line)
		}
		if err != nil {
			return
		}
	}
}

// stderrLog passes Envoy's log on and keeps its last lines.
type stderrLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last []string // guarded by mu
}

func (s *stderrLog) line(raw []byte) {
	text := string(raw)
	level, component, words := slog.LevelWarn, "", text
	if parts := strings.SplitN(text, "|", 3); len(parts) == 3 {
		if l, known := levels[parts[0]]; known {
			level, component, words = l, parts[1], parts[2]
		}
	}
	s.mu.Lock()
	if len(s.last) == lastLinesMax {
		s.last = s.last[1:]
	}
	s.last = append(s.last, words)
	s.mu.Unlock()
	s.log.Log(context.Background(), level, words, "component", component)
}

func (s *stderrLog) lastLines() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.last, "\n")
}

var levels = map[string]slog.Level{
	"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warning": slog.LevelWarn, "error": slog.LevelError, "critical": slog.LevelError,
}

// accessLine are the fields of the listeners' JSON access log that are read.
type accessLine struct {
	// Method is there in a line about a request, and in none about a failure.
	Method json.RawMessage `json:"method"`
	// UpstreamCluster is %UPSTREAM_CLUSTER_RAW%.
	UpstreamCluster string `json:"upstream_cluster"`
	// ResponseFlags is %RESPONSE_FLAGS%.
	ResponseFlags string `json:"response_flags"`
	// TransportFailure is %UPSTREAM_TRANSPORT_FAILURE_REASON%.
	TransportFailure string `json:"transport_failure"`
	// Details is %RESPONSE_CODE_DETAILS%.
	Details string `json:"response_code_details"`
}

// failures reports each cluster and reason once, and passes lines about requests on. Only the goroutine that reads stdout uses it.
type failures struct {
	seen   map[[2]string]struct{}
	report func(cluster, reason string)
	ledger *failing.Ledger
	// requests is nil where nobody wants them.
	requests io.Writer
}

func (f *failures) line(raw []byte) {
	var entry accessLine
	if err := json.Unmarshal(raw, &entry); err != nil || entry.Method != nil {
		if f.requests != nil {
			f.requests.Write(append(raw[:len(raw):len(raw)], '\n')) // there is nobody to tell that nobody reads it
		}
		return // A cut line is no reason to stop.
	}
	cluster, reason := given(entry.UpstreamCluster), entry.reason()
	if cluster == "" || reason == "" {
		return
	}
	f.ledger.Add(cluster, reason)
	if f.report == nil {
		return
	}
	key := [2]string{cluster, reason}
	if _, again := f.seen[key]; again || len(f.seen) >= failuresMax {
		return
	}
	f.seen[key] = struct{}{}
	f.report(cluster, reason)
}

// reason is the most telling of what the line has: the transport's words, the details, the flags' meaning.
func (a accessLine) reason() string {
	reason := spoken(given(a.TransportFailure))
	if reason == "" {
		var meanings []string
		for _, flag := range strings.Split(given(a.ResponseFlags), ",") {
			if m := flagMeanings[flag]; m != "" {
				meanings = append(meanings, m)
			}
		}
		reason = strings.Join(meanings, ", ")
	}
	if reason == "" {
		reason = spoken(given(a.Details))
	}
	if len(reason) > reasonBytesMax {
		reason = strings.ToValidUTF8(reason[:reasonBytesMax], "") + "…"
	}
	return reason
}

var (
	// opensslPlace says where in the library an error is from, opensslWords what it is called there, before opensslWithin comes more.
	opensslPlace  = regexp.MustCompile(`\|?\d+:SSL routines:OPENSSL internal:`)
	opensslWithin = regexp.MustCompile(`([A-Za-z]):([A-Za-z])`)
	opensslWords  = regexp.MustCompile(`\b[A-Z][A-Z0-9]+(?: [A-Z0-9]+)+\b`)
)

// spoken are the words of Envoy for a failure as people write them. An access log has underscores in place of spaces.
func spoken(words string) string {
	words = strings.TrimSuffix(strings.NewReplacer("_", " ", "{", " (", "}", ")").Replace(words), ":TLS error end")
	if opensslPlace.MatchString(words) {
		words = opensslWithin.ReplaceAllString(opensslPlace.ReplaceAllString(words, " "), "$1: $2")
	}
	words = opensslWords.ReplaceAllStringFunc(words, strings.ToLower)
	for _, prefix := range []string{"delayed connect error:", "immediate connect error:"} {
		if of, ok := strings.CutPrefix(words, prefix); ok {
			words = strings.TrimSpace(of)
			words = strings.ToLower(words[:min(1, len(words))]) + words[min(1, len(words)):]
		}
	}
	return strings.Join(strings.Fields(words), " ")
}

// given is empty for the dash that Envoy writes for nothing.
func given(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// flagMeanings are the flags of failed upstream requests, in the words of Envoy's access log documentation.
var flagMeanings = map[string]string{
	"UF":    "upstream connection failure",
	"UH":    "no healthy upstream hosts",
	"UC":    "upstream connection termination",
	"UR":    "upstream remote reset",
	"UO":    "upstream overflow (circuit breaking)",
	"URX":   "upstream retry limit exceeded",
	"UT":    "upstream request timeout",
	"UPE":   "upstream protocol error",
	"NC":    "upstream cluster not found",
	"DF":    "DNS resolution failed",
	"UMSDR": "upstream max stream duration reached",
}
