package model

import "github.com/postern-gateway/postern/translator/diag"

// AuthKind is how a route asks who the user is.
type AuthKind string

// The kinds.
const (
	// AuthBasic is RFC 7617, by a file of htpasswd.
	AuthBasic AuthKind = "basic"
	// AuthDigest is RFC 2617 with MD5 and qop=auth, by a file of htdigest.
	AuthDigest AuthKind = "digest"
	// AuthForward asks a server.
	AuthForward AuthKind = "forward"
)

// AuthRealm is the only realm, as in Traefik 1.7 (middlewares/auth/authenticator.go).
const AuthRealm = "traefik"

// Auth is what a route's requests must show before they go on. It is never changed once made.
type Auth struct {
	Kind AuthKind
	// Users is the Secret with the users of basic and digest, in the namespace of the claim; its Name is NS/NAME once
	// resolved (see UsersName).
	Users SecretRef
	// HeaderField is the header that carries the user's name to the backend, empty for none. A client's own never does.
	HeaderField string
	// RemoveHeader takes Authorization off before the backend.
	RemoveHeader bool
	// Forward is set for AuthForward.
	Forward *ForwardAuth
	Origins Origins
}

// UsersName is the name of the Users of a resolved Auth: NS/NAME, with /digest behind it for those of digest, whose lines
// are others.
func (a Auth) UsersName() string {
	name := a.Users.Namespace + "/" + a.Users.Name
	if a.Kind == AuthDigest {
		name += "/digest"
	}
	return name
}

// ForwardAuth is the server that is asked.
type ForwardAuth struct {
	// HTTPS, Host, Port and Target are the URL in its parts: Host without brackets, Port as written or the scheme's, Target
	// the path with the query. URLOrigin is where it stands.
	HTTPS     bool
	Host      string
	Port      uint16
	Target    string
	URLOrigin diag.Origin
	// Authority is the host and port as the server is asked for them.
	Authority string
	// TrustHeaders passes on what trusted hops said in X-Forwarded headers; else the server is told of the peer alone.
	TrustHeaders bool
	// ResponseHeaders, canonical, are copied from an answer that admits to the request; the request's own are taken off.
	ResponseHeaders []string
	// Client is the Secret with the certificate that is shown to the server, nil for none.
	Client *Word[string]
	// SkipVerify accepts any certificate of the server.
	SkipVerify *Word[bool]
	// Backend is the name of the Backend that leads to the server, once resolved.
	Backend string
}

// URL is the URL that is asked.
func (f ForwardAuth) URL() string {
	scheme := "http://"
	if f.HTTPS {
		scheme = "https://"
	}
	return scheme + f.Authority + f.Target
}

// Users are who may use routes that ask for one of them.
type Users struct {
	// Name is as Auth.UsersName.
	Name string
	// Entries are sorted by the user's name; no two have one.
	Entries []User
	Origins Origins
}

// User is one user.
type User struct {
	Name string
	// Hash is the encoded password of basic, or the HA1 of digest (RFC 2617, 3.2.2.2).
	Hash Sensitive
}
