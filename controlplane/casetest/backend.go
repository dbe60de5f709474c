package casetest

import (
	"fmt"
	"slices"
	"strings"
)

// Backend is how a test backend differs from the usual one, which takes plain HTTP and TLS alike and has a self-signed
// certificate for no name that anybody asks for.
type Backend struct {
	// Mode is one of the modes below.
	Mode string
	// Names are the DNS names of its certificate.
	Names []string
	// SignedBy is SignedByCA or SignedBySelf.
	SignedBy string
}

// The modes of a backend.
const (
	// ModeAny takes both plain HTTP and TLS.
	ModeAny = "any"
	// ModePlain ends a connection that begins with a TLS handshake.
	ModePlain = "plain"
	// ModeDown refuses connections.
	ModeDown = "down"
)

// parseBackends reads backends.txt: NS/SERVICE/PORT, then words: plain, down, names=a,b, ca=test.
func parseBackends(data []byte) (map[string]Backend, error) {
	out := map[string]Backend{}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		b := Usual()
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			switch {
			case w == ModePlain || w == ModeDown:
				b.Mode = w
			case key == "names":
				b.Names = strings.Split(value, ",")
			case key == "ca" && (value == SignedByCA || value == SignedBySelf):
				b.SignedBy = value
			default:
				return nil, fmt.Errorf("%s: %q: write plain, down, names=A,B or ca=test", backendsFile, w)
			}
		}
		out[words[0]] = b
	}
	return out, nil
}

// Usual is a backend of which backends.txt says nothing.
func Usual() Backend {
	return Backend{Mode: ModeAny, Names: []string{"backend.invalid"}, SignedBy: SignedBySelf}
}

// Backend is how the test backend of an assignment behaves.
func (c *Case) Backend(assignment string) Backend {
	if b, ok := c.Backends[assignment]; ok {
		return b
	}
	return Usual()
}

// failure is why a backend cannot be reached as a route asks, empty where it can: what a data plane finds by trying.
func (b Backend) failure(overTLS bool, verify []string, trusted bool) string {
	switch {
	case b.Mode == ModeDown:
		return "the backend refuses connections"
	case overTLS && b.Mode == ModePlain:
		return "the backend does not speak TLS"
	case overTLS && verify != nil && !(trusted && b.SignedBy == SignedByCA):
		return "the backend's certificate is signed by nobody trusted"
	case overTLS && verify != nil && !slices.ContainsFunc(verify, func(name string) bool { return slices.Contains(b.Names, name) }):
		return "the backend's certificate is for another name"
	default:
		return ""
	}
}
