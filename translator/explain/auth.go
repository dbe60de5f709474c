package explain

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"

	"github.com/postern-gateway/postern/translator/model"
)

// Ask is a server that is asked before the request goes on. Explain asks nobody: where the server admits, the decision
// is what follows; whatever it answers but 2xx is the client's answer.
type Ask struct {
	// URL is what is asked for, as it may be shown: without its query, which Of.Path has.
	URL string `json:"url"`
	// Of is how the server is asked: its backend, and what it sees.
	Of Decision `json:"of"`
	// Copied are the headers of its answer that the request gets in place of its own; Dropped, where not empty, is one that
	// the request loses.
	Copied  []string `json:"copied,omitempty"`
	Dropped string   `json:"dropped,omitempty"`
}

// asksWho answers a request that does not show who its user is.
func (n *narrator) asksWho(r model.Route, _ *model.Forward) bool {
	a := r.Auth
	if a == nil || a.Kind == model.AuthForward {
		return false
	}
	n.addOrigins(a.Origins)
	n.filtered, n.answering = true, PolicyAuth
	user, why := n.request.User, ""
	switch values := n.headers.Values("Authorization"); {
	case user != "":
		why = n.isNoUser(a.UsersName(), user)
	case a.Kind == model.AuthDigest:
		if len(values) > 0 {
			n.note("a response of digest is to a nonce that a data plane has given out, which explain cannot know: who answers the challenge rightly goes on")
		}
		why = "no user of Secret " + a.UsersName() + " has answered a challenge of digest"
	default:
		user, why = n.userOf(a.UsersName(), values)
	}
	if why != "" {
		n.story.Decision = Decision{Status: http.StatusUnauthorized, Reason: why}
		if a.Kind == model.AuthBasic {
			n.story.Decision.Response = http.Header{"Www-Authenticate": {`Basic realm="` + model.AuthRealm + `"`}}
		}
		return true
	}
	n.filtered, n.answering = false, ""
	if a.RemoveHeader {
		n.headers.Del("Authorization")
	}
	if a.HeaderField != "" {
		n.headers.Set(a.HeaderField, user)
	}
	return false
}

// passwordMax is the longest password that a data plane looks at, in bytes.
const passwordMax = 1024

// entries are the lines of users, none where the model comes from elsewhere without its secrets.
func (n *narrator) entries(name string) []model.User {
	i := slices.IndexFunc(n.gateway.Users, func(u model.Users) bool { return u.Name == name })
	if i < 0 {
		panic("explain: the model has no users " + name)
	}
	return n.gateway.Users[i].Entries
}

// isNoUser says why somebody is no user, empty where there is one of that name, or might be.
func (n *narrator) isNoUser(name, user string) string {
	entries := n.entries(name)
	if len(entries) == 0 {
		n.note("the users of Secret %s are no part of this model: %s counts as one of them", name, user)
		return ""
	}
	if slices.ContainsFunc(entries, func(e model.User) bool { return e.Name == user }) {
		return ""
	}
	return "Secret " + name + " has no such user"
}

// userOf is the user of an Authorization header, or why there is none.
func (n *narrator) userOf(name string, values []string) (user, why string) {
	if len(values) != 1 {
		return "", "the request has not one Authorization header"
	}
	r := http.Request{Header: http.Header{"Authorization": {values[0]}}}
	user, password, ok := r.BasicAuth()
	if !ok {
		// Blanks behind the scheme are left to whoever reads it (RFC 9110, 11.4).
		scheme, token, _ := strings.Cut(values[0], " ")
		text, err := base64.StdEncoding.DecodeString(strings.TrimLeft(token, " "))
		if user, password, ok = strings.Cut(string(text), ":"); !ok || err != nil || !strings.EqualFold(scheme, "Basic") {
			return "", "its Authorization is not of the scheme Basic"
		}
	}
	entries := n.entries(name)
	if len(entries) == 0 {
		n.note("the users of Secret %s are no part of this model: who shows a right password goes on", name)
		return "", "whether Secret " + name + " has such a user cannot be told"
	}
	j := slices.IndexFunc(entries, func(e model.User) bool { return e.Name == user })
	if j < 0 || len(password) > passwordMax || !isPassword(string(entries[j].Hash), password) {
		return "", "Secret " + name + " has no such user with such a password"
	}
	return user, ""
}

func isPassword(hash, password string) bool {
	if strings.HasPrefix(hash, "$2") {
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	}
	accept := htpasswd.AcceptMd5
	if strings.HasPrefix(hash, "{") {
		accept = htpasswd.AcceptSha
	}
	encoded, err := accept(hash)
	return err == nil && encoded != nil && encoded.MatchesPassword(password)
}

// hops are the headers that belong to a connection, and do not go to an auth server.
var hops = []string{"Connection", "Upgrade", "Te", "Trailer", "Proxy-Authenticate", "Proxy-Authorization", "Content-Length"}

// ask is how the server of a route is asked about a request that the backend would see at a path; headers are the
// request's before the route changes them.
func (n *narrator) ask(a model.Auth, path string, headers http.Header) *Ask {
	f := a.Forward
	n.addOrigins(a.Origins)
	h := headers.Clone()
	for _, name := range hops {
		h.Del(name)
	}
	peer := n.request.From.String()
	if !f.TrustHeaders {
		for name := range h {
			if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" {
				h.Del(name)
			}
		}
		h.Set("X-Forwarded-For", peer)
		h.Set("X-Real-Ip", peer)
	}
	scheme := "http"
	if n.table.Entry.TLS {
		scheme = "https"
	}
	for name, value := range map[string]string{
		"X-Forwarded-Method": n.request.Method, "X-Forwarded-Proto": scheme, "X-Forwarded-Host": n.target.authority, "X-Forwarded-Uri": path,
	} {
		if h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	out := &Ask{URL: f.ShownURL(), Copied: f.ResponseHeaders}
	if !slices.Contains(f.ResponseHeaders, a.HeaderField) {
		out.Dropped = a.HeaderField
	}
	out.Of = n.to(Decision{Path: f.Target, Headers: h, ownPath: true}, model.Target{Backend: f.Backend, Host: f.Authority})
	n.note("GET %s is asked first: 2xx admits, and any other answer is the client's, with all its headers; explain asks nobody", f.ShownURL())
	return out
}

// asking is the decision behind a server that is asked, in each share of it.
func (d Decision) asking(a *Ask) Decision {
	d.Ask, d.Shares = a, slices.Clone(d.Shares)
	for i := range d.Shares {
		d.Shares[i].Decision.Ask = a
	}
	return d
}
