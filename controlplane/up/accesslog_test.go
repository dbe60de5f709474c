package up

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/options"
)

// logged are requests of TestAccessLog, and what a line says of each but time, duration and protocol.
var logged = []struct{ method, host, path, line string }{
	{"GET", "web.test", "/k8s/x?token=hush", `{"authority":"web.test","bytes":3,"client":"127.0.0.1","cluster":"default/web/80","method":"GET","origins":["Ingress default/web spec.rules[0].http.paths[0]","Ingress default/web metadata.annotations[postern.dev/strip-prefix]"],"path":"/k8s/x","protocol":"HTTP/1.1","status":200}`},
	{"POST", "web.test", "/k8s", `{"authority":"web.test","bytes":3,"client":"127.0.0.1","cluster":"default/web/80","method":"POST","origins":["Ingress default/web spec.rules[0].http.paths[0]","Ingress default/web metadata.annotations[postern.dev/strip-prefix]"],"path":"/k8s","protocol":"HTTP/1.1","status":200}`},
	{"GET", "nobody.test", "/a//b?token=hush", `{"authority":"nobody.test","bytes":4,"client":"127.0.0.1","cluster":null,"method":"GET","origins":null,"path":"/a/b","protocol":"HTTP/1.1","status":404}`},
	{"GET", "a..b", "/x;y?token=hush", `{"authority":"a..b","bytes":4,"client":"127.0.0.1","cluster":null,"method":"GET","origins":null,"path":"/x;y","protocol":"HTTP/1.1","status":404}`},
	{"GET", "web.test", "/a%2fb", `{"authority":null,"bytes":4,"client":"127.0.0.1","cluster":null,"method":"GET","origins":null,"path":null,"protocol":"HTTP/1.1","status":307}`},
}

// TestAccessLog: both data planes write the same of a request, as it was asked for, and nothing that is secret.
func TestAccessLog(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		for _, format := range []string{"json", "text", "off"} {
			t.Run(format, func(t *testing.T) {
				g := newGateway(t, map[string]string{"web.yaml": strings.Replace(ingress("web", "web.test", "/k8s", "web", backend(t, "web")),
					"metadata: {name: web}, spec: {rules", `metadata: {name: web, annotations: {postern.dev/strip-prefix: "true"}}, spec: {rules`, 1)})
				if format == "off" {
					t.Cleanup(func() { // when the data plane has ended
						if line := requestLine.FindString(g.out.String()); line != "" {
							t.Errorf("there is a line: %s", line)
						}
					})
				}
				g.start(dataPlane, func(o *options.Options) { o.AccessLog = format })
				for i, r := range logged {
					g.askSecretly(r.method, r.host, r.path)
					if format == "off" {
						continue
					}
					if got := settled(t, format, g.requestLines(i + 1)[i]); got != inForm(t, format, r.line) {
						t.Errorf("%s %s%s is logged as\n%s, want\n%s", r.method, r.host, r.path, got, inForm(t, format, r.line))
					}
				}
				if out := g.out.String(); strings.Contains(out, "hush") || strings.Contains(out, "aHVzaA") {
					t.Errorf("the output has what is secret:\n%s", out)
				}
			})
		}
	})
}

// askSecretly sends a request with what must not be logged, and takes no redirect.
func (g *gateway) askSecretly(method, host, path string) {
	g.t.Helper()
	r, err := http.NewRequest(method, "http://"+g.http+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Authorization", "Basic aHVzaA==")
	r.Header.Set("Cookie", "session=hush")
	r.Header.Set("User-Agent", "hush")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	answer.Body.Close()
}

var requestLine = regexp.MustCompile(`(?m)^(\{.*"method":.*\}|\d{4}-\d\d-\d\dT\S+ 127\.0\.0\.1 .*)$`)

// requestLines waits for n lines about requests.
func (g *gateway) requestLines(n int) []string {
	g.t.Helper()
	deadline := time.After(waitMax)
	for {
		if found := requestLine.FindAllString(g.out.String(), -1); len(found) >= n {
			return found
		}
		select {
		case <-g.out.more:
		case <-deadline:
			g.t.Fatalf("there are no %d lines; out:\n%s", n, g.out)
		}
	}
}

var textTimes = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\S+ \S+ \S+ \S+ HTTP/1\.1 \d+ \d+) \d+ (.*)$`)

// settled is a line without what no two runs have equal.
func settled(t *testing.T, format, line string) string {
	t.Helper()
	if format == "text" {
		return textTimes.ReplaceAllString(line, "$1 $2")
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	began, err := time.Parse("2006-01-02T15:04:05.000Z", fmt.Sprint(fields["time"]))
	if took, number := fields["duration_ms"].(float64); err != nil || time.Since(began) > waitMax || !number || took < 0 {
		t.Errorf("%s: time %v, duration %v", line, fields["time"], fields["duration_ms"])
	}
	delete(fields, "time")
	delete(fields, "duration_ms")
	return asJSON(t, fields)
}

// inForm is a line of JSON as a line of the text has it.
func inForm(t *testing.T, format, line string) string {
	t.Helper()
	if format != "text" {
		return line
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, name := range []string{"client", "method", "authority", "path", "protocol", "status", "bytes", "cluster", "origins"} {
		switch value := fields[name].(type) {
		case nil:
			words = append(words, "-")
		case string:
			words = append(words, value)
		default:
			words = append(words, asJSON(t, value))
		}
	}
	return strings.Join(words, " ")
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
