package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
)

// seen is what a line of the access log says of a request, as it was when it came to the filters.
type seen struct{ client, authority, path string }

// A loggedWriter counts what is answered.
type loggedWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *loggedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status; those before the last are hints.
func (w *loggedWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *loggedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Hijack is how an upgrade begins. What goes over the connection then is not counted.
func (w *loggedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.status == 0 {
		w.status = http.StatusSwitchingProtocols
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// logged has the request written to the access log, if there is one, when done is called.
func (x *exchange) logged() (done func()) {
	log, out := x.manager.AccessLog, x.proxy.options.AccessLog
	if log == nil || out == nil {
		return func() {}
	}
	w, began := &loggedWriter{ResponseWriter: x.w}, time.Now()
	x.w, x.seen.client = w, x.peer
	return func() {
		line := x.line(log, w, began)
		x.proxy.logging.Lock()
		defer x.proxy.logging.Unlock()
		out.Write(line) // there is nobody to tell that nobody reads it
	}
}

// noteAsked keeps what the access log says of the request, before anything changes it.
func (x *exchange) noteAsked() {
	if x.manager.AccessLog == nil {
		return
	}
	x.seen.authority = x.authority
	x.seen.path, _, _ = strings.Cut(x.path, "?")
	if client := x.sender().Client; client.IsValid() {
		x.seen.client = client.String()
	}
}

func (x *exchange) line(log *config.AccessLog, w *loggedWriter, began time.Time) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out) // which ends with a line feed
	encoder.SetEscapeHTML(false)
	if log.Fields != nil {
		values := map[string]any{}
		for name, v := range log.Fields {
			values[name] = x.logValue(v, w, began)
		}
		encoder.Encode(values) // strings and numbers
		return out.Bytes()
	}
	for _, part := range log.Text {
		if part.Words != "" {
			out.WriteString(part.Words)
			continue
		}
		switch value := x.logValue(part.Value, w, began).(type) {
		case nil:
			out.WriteByte('-')
		case []string:
			encoder.Encode(value)
			out.Truncate(out.Len() - 1)
		default:
			fmt.Fprint(&out, value)
		}
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// logValue is nil where there is none.
func (x *exchange) logValue(v config.LogValue, w *loggedWriter, began time.Time) any {
	switch v {
	case config.LogTime:
		return began.UTC().Format("2006-01-02T15:04:05.000Z")
	case config.LogClient:
		return orNil(x.seen.client)
	case config.LogMethod:
		return x.r.Method
	case config.LogAuthority:
		return orNil(x.seen.authority)
	case config.LogPath:
		return orNil(x.seen.path)
	case config.LogProtocol:
		return strings.TrimSuffix(x.r.Proto, ".0")
	case config.LogStatus:
		return w.status
	case config.LogBytes:
		return w.bytes
	case config.LogDuration:
		return time.Since(began).Milliseconds()
	case config.LogCluster:
		return orNil(x.logCluster())
	case config.LogOrigins:
		if x.route != nil && len(x.route.Origins) > 0 {
			return x.route.Origins
		}
	}
	return nil
}

// logCluster is the cluster that the request went to, or would have gone to.
func (x *exchange) logCluster() string {
	if x.route == nil || x.cluster != "" {
		return x.cluster
	}
	if f, forwards := x.route.Action.(*config.Forward); forwards && len(f.Clusters) == 1 {
		return f.Clusters[0].Name
	}
	return ""
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
