package corpus

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// A restriction is a host and a path, as a backend sees them, that no request may reach it with.
type restriction struct {
	host string
	path string
	// below has what is under the path restricted too.
	below bool
}

// restrictions reads restricted.txt: HOST PATH, the path with /* behind it where what is below counts.
func restrictions(dir string) ([]restriction, error) {
	text, err := os.ReadFile(filepath.Join(dir, restrictedFile))
	if err != nil {
		return nil, err
	}
	var out []restriction
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 2 {
			return nil, fmt.Errorf("%s: %q: write HOST PATH", restrictedFile, line)
		}
		path, below := strings.CutSuffix(words[1], "/*")
		out = append(out, restriction{words[0], path, below})
	}
	return out, nil
}

// bypass says how a request that a backend saw is one that it must not see, empty where it is not. It reads the request
// as a lenient backend might, in several ways, none of which is how a data plane does.
func bypass(rs []restriction, s casetest.Seen) string {
	if !strings.HasPrefix(s.Path, "/") {
		return fmt.Sprintf("the target %q is no path", s.Path)
	}
	for _, host := range hostReadings(s.Header.Get("Host")) {
		for _, path := range pathReadings(s.Path) {
			for _, r := range rs {
				if r.host != host {
					continue
				}
				if path == r.path || r.below && (r.path == "" || strings.HasPrefix(path, r.path+"/")) {
					return fmt.Sprintf("%s%s is read as %s%s, which is closed", s.Header.Get("Host"), s.Path, host, path)
				}
			}
		}
	}
	return ""
}

// pathReadings are the paths that backends may take a request target for. All decode once: %25 stands for a percent sign
// and for nothing else (RFC 3986, 2.4), and a backend that decodes twice has that hole whoever stands before it. Case is
// kept: a backend whose paths have none must be said so in rules.
func pathReadings(target string) []string {
	raw, _, _ := strings.Cut(target, "?")
	decoded := decode(raw)
	readings := []string{raw, decoded, withoutParameters(decoded), decode(withoutParameters(raw))}
	var out []string
	for _, p := range readings {
		p, _, _ = strings.Cut(p, "\x00") // for a backend in C
		for _, slashed := range []string{p, strings.ReplaceAll(p, `\`, "/")} {
			out = append(out, resolve(slashed), resolve(merge(slashed)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func decode(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := strconv.ParseUint(path[i+1:i+3], 16, 8); err == nil {
				out.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		out.WriteByte(path[i])
	}
	return out.String()
}

func withoutParameters(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func merge(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// resolve takes out dot segments and then joins slashes.
func resolve(path string) string {
	var kept []string
	for _, s := range strings.Split(path, "/") {
		switch s {
		case ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, s)
		}
	}
	return merge("/" + strings.Join(kept, "/"))
}

// hostReadings are the hosts that backends may take a Host header for.
func hostReadings(host string) []string {
	var out []string
	for part := range strings.SplitSeq(strings.ToLower(decode(host)), ",") {
		part = strings.TrimSpace(part)
		part = part[strings.LastIndexByte(part, '@')+1:]
		part, _, _ = strings.Cut(part, "/")
		first, _, _ := strings.Cut(part, ":")
		out = append(out, strings.TrimRight(first, "."))
		if i := strings.LastIndexByte(part, ':'); i >= 0 {
			out = append(out, strings.TrimRight(part[:i], "."))
		}
	}
	return out
}

// spoofMark is what forged values of the corpus hold.
const spoofMark = "spoofed"

// spoof says what of a client's own word on itself reached a backend, empty for nothing.
func spoof(r request, s casetest.Seen) string {
	host := s.Header.Get("Host")
	scheme, port := "http", "8080"
	if r.https {
		scheme, port = "https", "8443"
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": r.from.String(), "X-Real-Ip": r.from.String(), "X-Forwarded-Proto": scheme,
		"X-Forwarded-Host": host, "X-Forwarded-Port": port,
	} {
		if got := strings.Join(s.Header[name], ", "); got != want {
			return fmt.Sprintf("%s is %q at the backend, want %q", name, got, want)
		}
	}
	for _, h := range []http.Header{s.Header, s.Trailer} {
		for name, values := range h {
			if strings.Contains(strings.Join(values, " "), spoofMark) {
				return fmt.Sprintf("the client's own %s reaches the backend", name)
			}
		}
	}
	return ""
}

// telling are the headers that an answer's line in the golden names: those that are not the same for every request.
func telling(r request, s casetest.Seen) http.Header {
	h := s.Header.Clone()
	for _, name := range []string{"Host", "X-Request-Id", "Content-Length"} {
		delete(h, name)
	}
	if spoof(r, s) == "" {
		for name := range h {
			if strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
				if name != "X-Forwarded-Prefix" {
					delete(h, name)
				}
			}
		}
	}
	return h
}
