package chaos

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// The settings that the annotations of a site's Ingress make.
const (
	plain         = ""
	strips        = "traefik.ingress.kubernetes.io/rule-type: PathPrefixStrip"
	ownHost       = `traefik.ingress.kubernetes.io/preserve-host: "false"`
	redirects     = `traefik.ingress.kubernetes.io/ssl-redirect: "true"`
	closes        = `traefik.ingress.kubernetes.io/whitelist-source-range: "not a range"`
	unknown       = `traefik.ingress.kubernetes.io/no-such-annotation: "true"`
	servicesASite = 3
)

var annotations = []string{plain, strips, ownHost, redirects, closes, unknown}

// state is what a site's files say at one moment. It is not written after it was made.
type state struct {
	// exists is whether there are files at all.
	exists bool
	// paths are the prefixes served, each by the Service of an index.
	paths map[string]int
	// annotation is one of annotations.
	annotation string
	// services are the Services' backends, and h2c which of them are spoken to over HTTP/2.
	services [servicesASite]int
	h2c      [servicesASite]bool
	// certificate is the Secret of its tls block; without a serial there is neither, or no Secret where named says so.
	certificate pair
	named       bool
}

func (s state) clone() state {
	s.paths = maps.Clone(s.paths)
	return s
}

// probes are the paths that sites are asked for.
var probes = []string{"/", "/a/x", "/a/b/x", "/c/x", "/none"}

// prefixes are those that a state may serve.
var prefixes = []string{"/", "/a", "/a/b", "/c"}

// answer is what a request gets, as text: what the state means, worked out apart from all code of Postern's.
func (s state) answer(site *site, secure bool, path string) string {
	if !s.exists {
		return "404"
	}
	prefix := ""
	for p := range s.paths {
		if (p == "/" || strings.HasPrefix(path+"/", p+"/")) && len(p) > len(prefix) {
			prefix = p
		}
	}
	switch {
	case prefix == "":
		return "404"
	case s.annotation == closes:
		return "503"
	case s.annotation == redirects && !secure:
		return fmt.Sprintf("301 https://%s:%s%s", site.host, site.httpsPort, path)
	}
	i := s.paths[prefix]
	host, proto := site.host, "HTTP/1.1"
	if s.annotation == strips && prefix != "/" {
		path = strings.TrimPrefix(path, prefix)
	}
	if s.annotation == ownHost {
		host = site.service(i) + ".default.svc"
	}
	if s.h2c[i] {
		proto = "HTTP/2.0"
	}
	return fmt.Sprintf("200 %s %s %s %s", site.backends[s.services[i]].Name, path, proto, host)
}

// text is an answer in the same words.
func text(a traffic.Answer) string {
	switch a.Status {
	case http.StatusOK:
		return fmt.Sprintf("200 %s", strings.TrimSuffix(a.Body, "\n"))
	case http.StatusMovedPermanently:
		return fmt.Sprintf("301 %s", a.Header.Get("Location"))
	}
	return fmt.Sprint(a.Status)
}

// shown is the serial of the certificate that a handshake gets, empty for the default one.
func (s state) shown() string {
	if !s.exists || len(s.paths) == 0 {
		return ""
	}
	return s.certificate.serial
}

// manifests are the files' content: the Ingress, and all that it refers to.
func (s state) manifests(site *site) (ingress, rest string) {
	var paths []string
	for _, p := range slices.Sorted(maps.Keys(s.paths)) {
		paths = append(paths, fmt.Sprintf("\n  {path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}", p, site.service(s.paths[p])))
	}
	tls := ""
	if s.certificate.serial != "" || s.named {
		tls = fmt.Sprintf("tls: [{hosts: [%s], secretName: %s}], ", site.host, site.name)
	}
	// Without the class, an Ingress that has no annotation of Traefik's is not read as Traefik reads it.
	ingress = fmt.Sprintf("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %s, annotations: {kubernetes.io/ingress.class: traefik", site.name)
	if s.annotation != plain {
		ingress += ", " + s.annotation
	}
	ingress += fmt.Sprintf("}}, spec: {%srules: [{host: %s, http: {paths: [%s]}}]}}\n---\n", tls, site.host, strings.Join(paths, ","))
	if len(paths) == 0 {
		ingress = ""
	}
	for i := range servicesASite {
		metadata := ""
		if s.h2c[i] {
			metadata = ", annotations: {postern.dev/backend-protocol: h2c}"
		}
		rest += service(site.service(i), metadata, site.backends[s.services[i]].Address())
	}
	if s.certificate.serial != "" {
		rest += secret(site.name, s.certificate)
	}
	return ingress, rest
}

// site is a host that is edited, with all states that it was given. Until one is known to be in force, the ones before
// may answer.
type site struct {
	name, host, httpsPort string
	backends              []*traffic.Backend

	mu sync.Mutex
	// states grow; settled is the index of the one that is in force. Both are guarded by mu.
	states  []state
	settled int
}

func (s *site) service(i int) string { return fmt.Sprintf("%s-%d", s.name, i) }

// latest is the state that the files have.
func (s *site) latest() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[len(s.states)-1].clone()
}

// begin notes a state whose files are about to be written.
func (s *site) begin(next state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states = append(s.states, next)
}

// settle notes that the latest state is in force: from now on none before may answer.
func (s *site) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = len(s.states) - 1
}

// since is the oldest state that may answer a request that begins now.
func (s *site) since() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}

// judge says which state has given an answer to a request that began when from was the oldest that might: the oldest
// state that gives it. Its error is an answer that is none of theirs.
func (s *site) judge(from int, got string, by func(state) string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wanted []string
	for i := from; i < len(s.states); i++ {
		want := by(s.states[i])
		if want == got {
			return i, nil
		}
		if !slices.Contains(wanted, want) {
			wanted = append(wanted, want)
		}
	}
	return from, fmt.Errorf("%q, want one of %q", got, wanted)
}
