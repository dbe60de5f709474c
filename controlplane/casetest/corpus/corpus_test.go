package corpus

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

const (
	testdata = "testdata"
	// requestsMin and http2Min are how many the corpus holds at least, over HTTP/1 and HTTP/2.
	requestsMin = 1000
	http2Min    = 100
)

// TestPlanesAgree: what the golden says of the two data planes differs in no class of status and in nothing that a backend
// sees, but for the exceptions, each of which has a reason and is one.
func TestPlanesAgree(t *testing.T) {
	requests, err := parse(testdata)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := readAnswers(testdata)
	if err != nil {
		t.Fatal(err)
	}
	exceptions, err := readExceptions(testdata)
	if err != nil {
		t.Fatal(err)
	}
	count := map[bool]int{}
	for _, r := range requests {
		count[r.http2]++
		said := golden[r.name()]
		delete(golden, r.name())
		reason, excepted := exceptions[r.name()]
		delete(exceptions, r.name())
		switch agreed := agree(r, said["go"], said["envoy"]); {
		case said["go"] == "" || said["envoy"] == "":
			t.Errorf("%s: no answer of both data planes in %s", r.name(), answersFile)
		case !agreed && !excepted:
			t.Errorf("%s: the data planes differ, and %s has no reason\n  go    %s\n  envoy %s", r.name(), exceptionsFile, said["go"], said["envoy"])
		case agreed && excepted:
			t.Errorf("%s: %s has it, but the data planes agree", r.name(), exceptionsFile)
		case excepted && reason == "":
			t.Errorf("%s: %s has no reason", r.name(), exceptionsFile)
		}
	}
	for name := range golden {
		t.Errorf("%s: it is in %s and not in %s", name, answersFile, requestsFile)
	}
	for name := range exceptions {
		t.Errorf("%s: it is in %s and not in %s", name, exceptionsFile, requestsFile)
	}
	if count[false] < requestsMin || count[true] < http2Min {
		t.Errorf("%d requests over HTTP/1 and %d over HTTP/2, want %d and %d", count[false], count[true], requestsMin, http2Min)
	}
}

// TestBypass shows what the oracle calls a bypass.
func TestBypass(t *testing.T) {
	closed := []restriction{{"a.test", "/admin", true}, {"a.test", "/secret", false}, {"closed.test", "", true}}
	for target, want := range map[string]bool{
		"a.test /admin": true, "a.test /admin/x?y": true, "a.test /admins": false, "a.test /x?/admin": false,
		"a.test //admin": true, "a.test /x/../admin": true, "a.test /x/..;/admin": true, "a.test /x/%2e%2e/admin": true,
		"a.test /admin;x": true, "a.test /;x/admin": true, "a.test /admin%3bx": true, "a.test /x%2f..%2fadmin": true,
		`a.test /x\..\admin`: true, "a.test /x%5c..%5cadmin": true, "a.test /%61dmin": true, "a.test /x//../admin": true,
		"a.test /%2561dmin": false, "a.test /ADMIN": false, "a.test /admin%00.css": true, "a.test /x/...;/admin": false,
		"a.test /secret": true, "a.test /secret/": false, "a.test /secret;x": true, "a.test /secret/x": false,
		"b.test /admin": false, "A.test:80 /admin": true, "a.test. /admin": true, "a.test:1:2 /admin": true,
		"b.test,a.test /admin": true, "b@a.test /admin": true, "a%2etest /admin": true,
		"closed.test /": true, "closed.test /x": true, "closed.test /x/..": true, "b.test *": true, "b.test http://a.test/": true,
	} {
		host, path, _ := strings.Cut(target, " ")
		got := bypass(closed, casetest.Seen{Path: path, Header: map[string][]string{"Host": {host}}})
		if (got != "") != want {
			t.Errorf("%s: %q, want a bypass: %v", target, got, want)
		}
	}
}

// TestSpoof shows what the oracle calls spoofed.
func TestSpoof(t *testing.T) {
	requests := []request{{}}
	if err := requests[0].from.UnmarshalText([]byte("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	good := map[string][]string{
		"Host": {"a.test"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"},
		"X-Forwarded-Host": {"a.test"}, "X-Forwarded-Port": {"8080"}, "X-Mine": {"kept"},
	}
	if why := spoof(requests[0], casetest.Seen{Header: good}); why != "" {
		t.Errorf("nothing is spoofed: %s", why)
	}
	for name, value := range map[string]string{
		"X-Forwarded-For": "10.0.0.1, 127.0.0.1", "X-Real-Ip": "", "X-Forwarded-Proto": "https", "Forwarded": "for=spoofed",
	} {
		bad := map[string][]string{}
		for n, v := range good {
			bad[n] = slices.Clone(v)
		}
		bad[name] = []string{value}
		if spoof(requests[0], casetest.Seen{Header: bad}) == "" {
			t.Errorf("%s: %s is not seen", name, value)
		}
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		`a\r\n\t\\\x00\xff`: "a\r\n\t\\\x00\xff", `\{3*ab}c`: "abababc", `\{2*\r\n}`: "\r\n\r\n", `"\""`: `"""`, `\{x*a}`: "", `\{2a}`: "", `\q`: "",
	} {
		if got, err := unescape(text); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}
