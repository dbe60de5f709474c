package up

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// user asks with a password.
type user struct {
	http.RoundTripper
	name, password string
}

func (u user) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(u.name, u.password)
	return u.RoundTripper.RoundTrip(r)
}

func clientOf(t *testing.T, name, password string) *http.Client {
	c := client(t)
	c.Transport = user{c.Transport, name, password}
	return c
}

// The passwords are secret and other.
const (
	secretBcrypt = "$2a$04$3HTJPvLjiRbcJp72w4TjW.Bg9.nb6.ltjwVS1IleM/2fV9Dgoaxmy"
	otherSHA     = "{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI="
)

func usersSecret(name string, lines ...string) string {
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Secret, metadata: {name: %s}, stringData: {users: %q}}\n", name, strings.Join(lines, "\n"))
}

// annotated puts Traefik's annotations on the first Ingress of a manifest, as K: V, K: V.
func annotated(manifest, annotations string) string {
	return strings.Replace(manifest, "kind: Ingress, metadata: {", "kind: Ingress, metadata: {annotations: {"+annotations+"}, ", 1)
}

const byUsers = "ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: "

// eventuallyStatus asks until the answer has a status.
func (g *gateway) eventuallyStatus(c *http.Client, host string, want int) {
	g.t.Helper()
	got := 0
	for deadline := time.Now().Add(waitMax); time.Now().Before(deadline); {
		if got, _, _ = ask(c, g.http, host, "/"); got == want {
			return
		}
	}
	g.t.Fatalf("%s answers %d, never %d; err:\n%s", host, got, want, g.err)
}

// TestAuthUnderLoad: how a user is asked for changes in every way, and no request of one who may pass fails.
func TestAuthUnderLoad(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		web, auth := backend(t, "web"), backend(t, "auth")
		plain := ingress("a", "a.test", "/", "web", web)
		server := "---\n" + strings.SplitN(ingress("x", "x.test", "/", "auth", auth), "---\n", 2)[1]
		alice, bob := "alice:"+secretBcrypt, "bob:"+otherSHA
		g := newGateway(t, map[string]string{"a.yaml": annotated(plain, byUsers+"one") + usersSecret("one", alice)})
		g.start(dataPlane, nil)
		passes, fails := clientOf(t, "alice", "secret"), clientOf(t, "bob", "other")
		g.want(passes, "a.test", "/", 200, "web")
		g.want(fails, "a.test", "/", 401, "401\n")
		g.want(client(t), "a.test", "/", 401, "401\n")
		end := g.underLoadBy(clientOf(t, "alice", "secret"), "a.test")
		for i, step := range []string{
			annotated(plain, byUsers+"one") + usersSecret("one", alice, bob),
			annotated(plain, byUsers+"two") + usersSecret("two", alice),
			plain,
			annotated(plain, "ingress.kubernetes.io/auth-type: forward, ingress.kubernetes.io/auth-url: 'http://auth.default.svc/'") + server,
			annotated(plain, byUsers+"one") + usersSecret("one", alice),
		} {
			g.write("a.yaml", step)
			g.waitLive()
			g.eventuallyStatus(fails, "a.test", []int{200, 401, 200, 200, 401}[i])
		}
		t.Logf("%d requests during the edits", end())
	})
}

// TestAuthIsTakenBack: who is taken out of the Secret cannot log in, and without the Secret nobody passes.
func TestAuthIsTakenBack(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		protected := annotated(ingress("a", "a.test", "/", "web", backend(t, "web")), byUsers+"one")
		g := newGateway(t, map[string]string{"a.yaml": protected + usersSecret("one", "alice:"+secretBcrypt)})
		g.start(dataPlane, nil)
		alice, bob := clientOf(t, "alice", "secret"), clientOf(t, "bob", "other")
		g.want(alice, "a.test", "/", 200, "web")
		g.write("a.yaml", protected+usersSecret("one", "bob:"+otherSHA))
		g.waitLive()
		g.want(alice, "a.test", "/", 401, "")
		g.want(bob, "a.test", "/", 200, "web")
		g.write("a.yaml", protected)
		g.waitLive()
		g.eventuallyStatus(bob, "a.test", 503)
		if text := g.out.String() + g.err.String(); strings.Contains(text, secretBcrypt) || strings.Contains(text, otherSHA) {
			t.Errorf("a hash is printed:\n%s", text)
		}
	})
}
