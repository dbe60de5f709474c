package worlds

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// authUsers are Secrets of users, of which one is missing sometimes, and one has a broken line. alice has the password
// secret, bob other.
func authUsers(d drawer, w *World) {
	for _, namespace := range namespaces {
		if !d.oneIn(5) {
			w.Others = append(w.Others, users(namespace, "users-bcrypt", `alice:$2y$04$3HTJPvLjiRbcJp72w4TjW.Bg9.nb6.ltjwVS1IleM/2fV9Dgoaxmy\nbroken`))
		}
		w.Others = append(w.Others, users(namespace, "users-sha", `bob:{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI=\nalice:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0`))
	}
}

func users(namespace, name, lines string) Object {
	return Object{name, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, stringData: {users: \"%s\"}}\n", name, namespace, lines)}
}

// auth asks who the user is: most often by a Secret, else by a Service, whose answer the request chooses.
func auth(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(3) {
		set(d, ing, "forward", traefikKey("auth-type")...)
		set(d, ing, pick(d, []string{"http://known.shop.svc/check", "http://web.team.svc:80/", "http://web.shop/a?b", "https://known.shop.svc/", "http://127.0.0.1/", "http://gone.shop.svc/"}), traefikKey("auth-url")...)
		if d.oneIn(2) {
			set(d, ing, pick(d, []string{"true", "false", "maybe"}), traefikKey("auth-trust-headers")...)
		}
		if d.oneIn(2) {
			set(d, ing, pick(d, []string{"X-User", "Location, X-User", "x y"}), traefikKey("auth-response-headers")...)
		}
		return
	}
	set(d, ing, pick(d, []string{"basic", "Basic", "basic", "basci"}), traefikKey("auth-type")...)
	set(d, ing, pick(d, []string{"users-bcrypt", "users-sha", "users-sha", "none"}), traefikKey("auth-secret")...)
	if d.oneIn(3) {
		set(d, ing, pick(d, []string{"X-User", "Authorization", "X_User"}), traefikKey("auth-header-field")...)
	}
	if d.oneIn(3) {
		set(d, ing, pick(d, []string{"true", "false", "maybe"}), traefikKey("auth-remove-header")...)
	}
}

// logins are right and wrong passwords, and claims to be somebody.
func logins(d drawer, _ World, p *casetest.Probe) {
	if d.oneIn(2) {
		p.Header.Set("Authorization", pick(d, []string{
			"Basic YWxpY2U6c2VjcmV0", "Basic YWxpY2U6c2VjcmV0", "basic YWxpY2U6c2VjcmV0", "Basic Ym9iOm90aGVy", "Basic Ym9iOm90aGVy", "Basic YWxpY2U6d3Jvbmc=", "Basic YWxpY2U=",
			"Basic x", "Basic", "Bearer YWxpY2U6c2VjcmV0", "Digest username=\"alice\"",
		}))
	}
	if d.oneIn(4) {
		p.Header.Set("X-User", "root")
	}
	if d.oneIn(6) {
		p.Header.Set("Respond-X-User", "alice")
	}
}
