package authorize

import (
	"context"
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/match"
)

// digest is RFC 2617 with MD5 and qop=auth, as Traefik 1.7 had it.
func (c *Checker) digest(ctx context.Context, r request) *authv3.CheckResponse {
	users, err := c.sources.Users(ctx, r.Users)
	if err != nil {
		return c.failed("find users "+r.Users, err)
	}
	challenge := func(stale bool) *authv3.CheckResponse {
		text := fmt.Sprintf(`Digest realm="%s", nonce="%s", opaque="%s", algorithm=MD5, qop="auth"`, r.Realm, c.nonces.issue(r.Users), c.nonces.opaque)
		if stale {
			text += ", stale=true"
		}
		return refuse(http.StatusUnauthorized, []string{text})
	}
	values := r.header["Authorization"]
	if len(values) != 1 {
		return challenge(false)
	}
	said, ok := digestFields(values[0])
	if !ok || !rightDigest(r, users, said) || said["opaque"] != c.nonces.opaque {
		return challenge(false)
	}
	count, err := strconv.ParseUint(said["nc"], 16, 32)
	if err != nil || len(said["nc"]) != 8 {
		return challenge(false)
	}
	if !c.nonces.use(r.Users, said["nonce"], count) {
		return challenge(true)
	}
	return userKnown(r, said["username"])
}

// rightDigest says whether the response is that of a user who knows the password, for this request.
func rightDigest(r request, users *config.Users, said map[string]string) bool {
	if said["realm"] != r.Realm || said["qop"] != "auth" || said["cnonce"] == "" ||
		said["algorithm"] != "" && !strings.EqualFold(said["algorithm"], "MD5") {
		return false
	}
	if uri, verdict := match.Normalize(said["uri"], config.UnescapeAndForward); verdict == match.Reject || uri != r.path && said["uri"] != r.path {
		return false
	}
	ha1, known := users.Hashes[said["username"]]
	ha2 := sum(r.method + ":" + said["uri"])
	want := sum(strings.Join([]string{ha1, said["nonce"], said["nc"], said["cnonce"], said["qop"], ha2}, ":"))
	return subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(said["response"]))) == 1 && known
}

func sum(text string) string {
	h := md5.Sum([]byte(text))
	return hex.EncodeToString(h[:])
}

// digestFields reads the fields of an Authorization header of the scheme Digest, each of which may stand once.
func digestFields(value string) (map[string]string, bool) {
	scheme, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "digest") {
		return nil, false
	}
	out := map[string]string{}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return out, true
		}
		name, after, ok := strings.Cut(rest, "=")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if _, twice := out[name]; !ok || twice {
			return nil, false
		}
		after = strings.TrimLeft(after, " \t")
		if !strings.HasPrefix(after, `"`) {
			out[name], rest, _ = strings.Cut(after, ",")
			out[name] = strings.TrimRight(out[name], " \t")
			continue
		}
		if out[name], rest, ok = unquote(after[1:]); !ok {
			return nil, false
		}
	}
}

// unquote reads a quoted string (RFC 9110, 5.6.4) behind its first quote, and gives what follows.
func unquote(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
