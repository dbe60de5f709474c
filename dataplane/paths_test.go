package dataplane_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// TestPaths sends the targets of match/testdata/paths.txt as bytes, to whichever data planes there are.
func TestPaths(t *testing.T) {
	text, err := os.ReadFile("match/testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	rest, action := string(text), hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT
	for rest != "" {
		rows, more, _ := strings.Cut(rest, "\nslashes ")
		t.Run(action.String(), func(t *testing.T) { sendPaths(t, rows, action) })
		var word string
		word, rest, _ = strings.Cut(more, "\n")
		action = map[string]hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction{
			"forward": hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD,
			"reject":  hcmv3.HttpConnectionManager_REJECT_REQUEST,
			"keep":    hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		}[word]
	}
}

// withManager is a listener of one chain with its connection manager changed.
func withManager(l *listenerv3.Listener, change func(*hcmv3.HttpConnectionManager)) *listenerv3.Listener {
	filter := l.GetFilterChains()[0].GetFilters()[0]
	manager := &hcmv3.HttpConnectionManager{}
	if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
		panic(err)
	}
	change(manager)
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: typed(manager)}
	return l
}

func sendPaths(t *testing.T, rows string, action hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		l := withManager(listener(t, "http", p.http), func(m *hcmv3.HttpConnectionManager) { m.PathWithEscapedSlashesAction = action })
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), l,
			routes("http", host("*", forward(prefix("/"), "echo"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for line := range strings.Lines(rows) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			f := append(strings.Fields(line), "")
			verdict, target, want := f[0], f[1], f[2]
			a := parse(t, raw(t, p.http, "GET "+target+" HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n"), "GET")
			if _, err := url.PathUnescape(strings.SplitN(target, "?", 2)[0]); err != nil {
				// net/http refuses a broken escape before any handler. Envoy lets it pass, but this backend is net/http.
				if p.name == "go" && a.status != 400 {
					t.Errorf("%s: status %d, want 400", target, a.status)
				}
				continue
			}
			switch verdict {
			case "pass":
				checkAnswer(t, target, a, 200, "GET "+want+" HTTP/1.1")
			case "redirect":
				checkAnswer(t, target, a, 307, "Location: "+want+"|307")
			default:
				if a.status != 400 { // what net/http refuses by itself has a body of its own
					t.Errorf("%s: status %d, want 400", target, a.status)
				}
			}
		}
	})
}
