package authorize

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/dataplane/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sources answer by what a test put there.
type sources struct {
	users  *config.Users
	server http.RoundTripper
}

func (s *sources) Users(context.Context, string) (*config.Users, error) {
	if s.users == nil {
		return nil, errors.New("none")
	}
	return s.users, nil
}

func (s *sources) Transport(context.Context, string) (http.RoundTripper, func(), error) {
	if s.server == nil {
		return nil, nil, errors.New("none")
	}
	return s.server, func() {}, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The password of alice is secret.
const (
	aliceBcrypt = "$2a$04$3HTJPvLjiRbcJp72w4TjW.Bg9.nb6.ltjwVS1IleM/2fV9Dgoaxmy"
	aliceMD5    = "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0"
	aliceSHA    = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
	aliceHA1    = "e66182e4199fd90e2499700ddd5c3e17"
)

func newChecker(s *sources) (*Checker, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return New(s, slog.New(slog.NewTextHandler(log, nil))), log
}

func extensions(kind string, more ...string) map[string]string {
	out := map[string]string{"kind": kind, "scheme": "http"}
	if kind == config.AuthorizeForward {
		out["url"], out["cluster"] = "http://auth.test/check?a=b", "ns/auth/80"
	} else {
		out["users"], out["realm"] = "users/ns/u", "traefik"
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func ask(c *Checker, context map[string]string, method, path string, h http.Header) *authv3.CheckResponse {
	headers := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":authority", RawValue: []byte("a.test")}}}
	for name, values := range h {
		for _, v := range values {
			headers.Headers = append(headers.Headers, &corev3.HeaderValue{Key: strings.ToLower(name), RawValue: []byte(v)})
		}
	}
	out, err := c.Check(t(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Path: path, Host: "a.test", HeaderMap: headers,
		}},
		ContextExtensions: context,
	}})
	if err != nil {
		panic(err)
	}
	return out
}

func t() context.Context { return context.Background() }

// code is the status of an answer, 200 where the request goes on.
func code(r *authv3.CheckResponse) int {
	if r.GetOkResponse() != nil {
		return http.StatusOK
	}
	return int(r.GetDeniedResponse().GetStatus().GetCode())
}

func value(options []*corev3.HeaderValueOption, name string) string {
	for _, o := range options {
		if o.GetHeader().GetKey() == name {
			return o.GetHeader().GetValue()
		}
	}
	return ""
}

func basicHeader(user, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
}

func TestBasic(t *testing.T) {
	for _, hash := range []string{aliceBcrypt, aliceMD5, aliceSHA, "$1$saltsalt$9xy1btjgzLYfb7hivXtC//", strings.Replace(aliceBcrypt, "$2a$", "$2y$", 1)} {
		s := &sources{users: &config.Users{Hashes: map[string]string{"alice": hash, "broken": "$apr1$x", "clear": "secret", "dear": strings.Replace(aliceBcrypt, "$04$", "$31$", 1)}}}
		c, log := newChecker(s)
		for _, try := range []struct {
			user, password string
			want           int
		}{
			{"alice", "secret", 200}, {"alice", "secret", 200}, {"alice", "Secret", 401}, {"alice", "", 401}, {"bob", "secret", 401}, {"", "secret", 401},
			{"alice", strings.Repeat("x", passwordBytesMax+1), 401}, {"broken", "x", 401}, {"clear", "secret", 401}, {"dear", "secret", 401},
		} {
			if got := code(ask(c, extensions("basic"), "GET", "/", basicHeader(try.user, try.password))); got != try.want {
				t.Errorf("%.8s…: %s: %d, want %d", hash, try.user, got, try.want)
			}
		}
		// What was remembered as right is of the Secret as it was.
		s.users = &config.Users{Hashes: map[string]string{"alice": "{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI="}}
		if got := code(ask(c, extensions("basic"), "GET", "/", basicHeader("alice", "secret"))); got != 401 {
			t.Errorf("%.8s…: with the Secret changed: %d", hash, got)
		}
		s.users = nil
		if got := code(ask(c, extensions("basic"), "GET", "/", basicHeader("alice", "secret"))); got != 503 {
			t.Errorf("without users: %d", got)
		}
		if strings.Contains(log.String(), "secret") || strings.Contains(log.String(), hash) {
			t.Errorf("the log shows too much: %s", log)
		}
	}
}

func TestHeadersOfUsers(t *testing.T) {
	c, _ := newChecker(&sources{users: &config.Users{Hashes: map[string]string{"alice": aliceSHA}}})
	got := ask(c, extensions("basic", "header", "x-user", "remove", "true"), "GET", "/", basicHeader("alice", "secret")).GetOkResponse()
	if value(got.GetHeaders(), "x-user") != "alice" || strings.Join(got.GetHeadersToRemove(), " ") != "authorization" {
		t.Errorf("got %v", got)
	}
}

// TestDearChecksAreBounded asks more than may wait: what has no place is answered 503, and nothing waits for ever.
func TestDearChecksAreBounded(t *testing.T) {
	p := NewPasswords()
	for range cap(p.waiting) {
		p.waiting <- struct{}{}
	}
	for range cap(p.places) {
		p.places <- struct{}{}
	}
	users := &config.Users{Hashes: map[string]string{"alice": aliceBcrypt}}
	if _, err := p.Check(context.Background(), users, "alice", "secret"); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	<-p.places
	if right, err := p.Check(context.Background(), users, "alice", "secret"); !right || err != nil {
		t.Errorf("with a place: %v, %v", right, err)
	}
	p.places <- struct{}{}
	if right, err := p.Check(context.Background(), users, "alice", "secret"); !right || err != nil {
		t.Errorf("what is remembered needs no place: %v, %v", right, err)
	}
}

func TestRememberedPasswordsAreBounded(t *testing.T) {
	p := NewPasswords()
	for i := range rightMax + 10 {
		p.remember(p.id(fmt.Sprint(i)))
	}
	if len(p.right) != rightMax || p.used.Len() != rightMax || p.remembered(p.id("0")) || !p.remembered(p.id(fmt.Sprint(rightMax))) {
		t.Errorf("%d are remembered", len(p.right))
	}
}

// challengeOf reads the fields of a challenge.
func challengeOf(t *testing.T, r *authv3.CheckResponse) map[string]string {
	t.Helper()
	if got := code(r); got != http.StatusUnauthorized {
		t.Fatalf("a challenge is 401, not %d", got)
	}
	fields, ok := digestFields(value(r.GetDeniedResponse().GetHeaders(), "www-authenticate"))
	if !ok || fields["realm"] != "traefik" || fields["qop"] != "auth" || fields["algorithm"] != "MD5" {
		t.Fatalf("challenge %v", fields)
	}
	return fields
}

// response answers a challenge as RFC 2617, 3.2.2 says.
func response(challenge map[string]string, ha1, method, uri, nc string) http.Header {
	digest := sum(ha1 + ":" + challenge["nonce"] + ":" + nc + ":c0ffee:auth:" + sum(method+":"+uri))
	return http.Header{"Authorization": {fmt.Sprintf(
		`Digest username="alice", realm="traefik", nonce="%s", uri="%s", algorithm=MD5, response="%s", opaque="%s", qop=auth, nc=%s, cnonce="c0ffee"`,
		challenge["nonce"], uri, digest, challenge["opaque"], nc)}}
}

func TestDigest(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c, _ := newChecker(&sources{users: &config.Users{Hashes: map[string]string{"alice": aliceHA1}}})
	c.nonces = newNonces(func() time.Time { return now })
	context := extensions("digest", "header", "x-user")
	challenge := challengeOf(t, ask(c, context, "GET", "/x?y=1", nil))
	stale := func(h http.Header) string {
		return challengeOf(t, ask(c, context, "GET", "/x?y=1", h))["stale"]
	}
	got := ask(c, context, "GET", "/x?y=1", response(challenge, aliceHA1, "GET", "/x?y=1", "00000001"))
	if code(got) != 200 || value(got.GetOkResponse().GetHeaders(), "x-user") != "alice" {
		t.Fatalf("a right answer gets %v", got)
	}
	if stale(response(challenge, aliceHA1, "GET", "/x?y=1", "00000001")) != "true" {
		t.Error("a replayed count is taken")
	}
	for _, nc := range []string{"00000003", "00000002", "00000040"} {
		if got := code(ask(c, context, "GET", "/x?y=1", response(challenge, aliceHA1, "GET", "/x?y=1", nc))); got != 200 {
			t.Errorf("count %s: %d", nc, got)
		}
	}
	for name, h := range map[string]http.Header{
		"another password":  response(challenge, sum("alice:traefik:other"), "GET", "/x?y=1", "00000050"),
		"another method":    response(challenge, aliceHA1, "POST", "/x?y=1", "00000051"),
		"another path":      response(challenge, aliceHA1, "GET", "/y", "00000052"),
		"the count of none": response(challenge, aliceHA1, "GET", "/x?y=1", "1"),
		"another's nonce":   response(map[string]string{"nonce": "AAAA", "opaque": "x"}, aliceHA1, "GET", "/x?y=1", "00000001"),
		"two headers":       {"Authorization": append(response(challenge, aliceHA1, "GET", "/x?y=1", "00000053")["Authorization"], "Digest a=b")},
		"basic":             basicHeader("alice", "secret"),
	} {
		if stale(h) != "" {
			t.Errorf("%s is answered as stale", name)
		}
	}
	forged := maps.Clone(challenge)
	forged["nonce"] = c.nonces.issue("users/ns/others")
	if stale(response(forged, aliceHA1, "GET", "/x?y=1", "00000001")) != "true" {
		t.Error("a nonce for other users is taken")
	}
	now = now.Add(nonceAgeMax + time.Second)
	if stale(response(challenge, aliceHA1, "GET", "/x?y=1", "00000060")) != "true" {
		t.Error("an old nonce is taken")
	}
}

// TestForgottenNoncesAreStale fills the memory: what is forgotten must not be used anew.
func TestForgottenNoncesAreStale(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	n := newNonces(func() time.Time { now = now.Add(time.Nanosecond); return now })
	first := n.issue("u")
	if !n.use("u", first, 1) {
		t.Fatal("a fresh nonce is refused")
	}
	for range noncesMax {
		if !n.use("u", n.issue("u"), 1) {
			t.Fatal("a fresh nonce is refused")
		}
	}
	if len(n.used) != noncesMax || n.use("u", first, 1) || n.use("u", first, 2) {
		t.Error("a forgotten nonce is taken")
	}
	u := usedNonce{highest: 1, seen: 1}
	for _, c := range []struct {
		count uint64
		want  bool
	}{{2, true}, {2, false}, {1, false}, {100, true}, {99, true}, {99, false}, {37, true}, {36, false}, {1 << 32, true}, {100, false}} {
		if got := u.count(c.count); got != c.want {
			t.Errorf("count %d: %v", c.count, got)
		}
	}
}

func TestForward(t *testing.T) {
	var asked *http.Request
	answer := func(status int, body string, h http.Header) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = r
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
	}
	s := &sources{}
	c, log := newChecker(s)
	context := extensions("forward", "response-headers", "x-user,x-groups", "rewrite-prefix", "/", "matched-prefix", "/app/")
	h := http.Header{
		"X-Forwarded-For": {"203.0.113.1, 192.0.2.1"}, "X-User": {"root"}, "Cookie": {"a=b"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"X-Envoy-External-Address": {"1.2.3.4"}, "Content-Length": {"7"}, "X-Forwarded-Port": {"1"},
	}
	s.server = answer(204, "", http.Header{"X-User": {"alice", "bob"}, "X-Else": {"1"}})
	ok := ask(c, context, "POST", "/app/x?y", h).GetOkResponse()
	if value(ok.GetHeaders(), "x-user") != "alice, bob" || len(ok.GetHeaders()) != 1 || strings.Join(ok.GetHeadersToRemove(), " ") != "x-groups" {
		t.Errorf("admitted with %v", ok)
	}
	want := http.Header{
		"X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Method": {"POST"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a.test"},
		"X-Forwarded-Uri": {"/x?y"}, "X-User": {"root"}, "Cookie": {"a=b"}, "User-Agent": {""},
	}
	if asked.Method != "GET" || asked.URL.String() != "http://auth.test/check?a=b" || asked.Body != nil || !maps.EqualFunc(asked.Header, want, func(a, b []string) bool { return strings.Join(a, "|") == strings.Join(b, "|") }) {
		t.Errorf("asked %s %s %v", asked.Method, asked.URL, asked.Header)
	}
	s.server = answer(418, "tea", http.Header{"Location": {"/login"}, "Set-Cookie": {"a=1", "b=2"}, "Connection": {"close"}, "Content-Length": {"3"}})
	denied := ask(c, context, "GET", "/app/x", h).GetDeniedResponse()
	if denied.GetStatus().GetCode() != 418 || denied.GetBody() != "tea" || value(denied.GetHeaders(), "location") != "http://auth.test/login" ||
		value(denied.GetHeaders(), "connection")+value(denied.GetHeaders(), "content-length") != "" || len(denied.GetHeaders()) != 4 {
		t.Errorf("denied with %v", denied)
	}
	if _, err := proto.Marshal(ask(c, context, "GET", "/app/x", h)); err != nil {
		t.Error(err)
	}
	for name, server := range map[string]http.RoundTripper{
		"no server":     nil,
		"long":          answer(403, strings.Repeat("x", answerBytesMax+1), nil),
		"long, and 200": answer(200, strings.Repeat("x", answerBytesMax+1), nil),
		"odd location":  answer(302, "", http.Header{"Location": {"http://[::1"}}),
		"broken":        roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("reset") }),
	} {
		s.server = server
		if got := code(ask(c, context, "GET", "/app/x", h)); got != 503 {
			t.Errorf("%s: %d, want 503", name, got)
		}
	}
	if strings.Contains(log.String(), "a=b") {
		t.Errorf("the log shows a cookie: %s", log)
	}
}

// TestUnknownPolicyCloses: what a newer control plane may say is not guessed at.
func TestUnknownPolicyCloses(t *testing.T) {
	c, _ := newChecker(&sources{users: &config.Users{Hashes: map[string]string{"alice": aliceSHA}}})
	for _, context := range []map[string]string{
		nil, {"kind": "none", "scheme": "http"}, extensions("basic", "also", "x"), extensions("basic", "scheme", "ftp"), extensions("basic", "users", ""),
		extensions("basic", "realm", `a"b`), extensions("basic", "header", "X-User"), extensions("forward", "url", "::"), extensions("forward", "cluster", ""),
		extensions("forward", "rewrite-regex", "("),
	} {
		if got := code(ask(c, context, "GET", "/", basicHeader("alice", "secret"))); got != 503 {
			t.Errorf("%v: %d, want 503", context, got)
		}
	}
}

// TestManyAtOnce is for the race detector, and asks one dear check for many requests.
func TestManyAtOnce(t *testing.T) {
	c, _ := newChecker(&sources{users: &config.Users{Hashes: map[string]string{"alice": aliceBcrypt}}})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			password := []string{"secret", "wrong"}[i%2]
			if got := code(ask(c, extensions("basic"), "GET", "/", basicHeader("alice", password))); got != []int{200, 401}[i%2] {
				t.Errorf("%s: %d", password, got)
			}
		})
	}
	all.Wait()
}

func FuzzDigestFields(f *testing.F) {
	f.Add(`Digest a="b\"c", d=e`)
	f.Fuzz(func(t *testing.T, text string) { digestFields(text) })
}
