package authorize

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// basic is RFC 7617.
func (c *Checker) basic(ctx context.Context, r request) *authv3.CheckResponse {
	challenge := refuse(http.StatusUnauthorized, []string{`Basic realm="` + r.Realm + `"`})
	users, err := c.sources.Users(ctx, r.Users)
	if err != nil {
		return c.failed("find users "+r.Users, err)
	}
	user, password, ok := credentials(r.header["Authorization"])
	if !ok {
		return challenge
	}
	right, err := c.passwords.Check(ctx, users, user, password)
	switch {
	case err != nil:
		return c.failed("check a password", err)
	case !right:
		return challenge
	}
	return userKnown(r, user)
}

// credentials reads the one Authorization header of a request. Of several a backend may read another.
func credentials(values []string) (user, password string, ok bool) {
	if len(values) != 1 {
		return "", "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "basic") {
		return "", "", false
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimLeft(token, " "))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}
