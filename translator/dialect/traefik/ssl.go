package traefik

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var sslRedirects = []dialect.Annotation{
	{
		Key: "ssl-redirect", On: dialect.OnIngress, Type: "true or false", Support: dialect.Approximated,
		Note: "The path is kept with PathPrefixStrip too, where Traefik 1.7 lost the prefix (its issue 4085); the port becomes the HTTPS entry's; " +
			"methods other than GET and HEAD get 308, so that they stay what they are.",
		Doc:     "Redirects plain requests to the HTTPS entry with 301. Without effect beside is-development: true.",
		Example: "true", Family: "redirects", Case: "redirect/permanent",
	},
	{
		Key: "ssl-temporary-redirect", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Doc:     "Makes the redirects of ssl-redirect and ssl-force-host temporary: 307, which Traefik 1.7 sent where its documentation said 302.",
		Example: "true", Family: "redirects", Case: "redirect/ssl",
	},
	{
		Key: "ssl-host", On: dialect.OnIngress, Type: "a host, with a port or without", Support: dialect.Approximated,
		Note:    "It is a host that a certificate could be for, or an address, and no other text.",
		Doc:     "The host, and port, that the redirects of ssl-redirect and ssl-force-host lead to.",
		Example: "www.shop.test", Family: "redirects", Case: "redirect/ssl",
	},
	{
		Key: "ssl-force-host", On: dialect.OnIngress, Type: "true or false", Support: dialect.Approximated,
		Note:    "Hosts are compared whatever their case, and without the client's port where ssl-host has none; methods other than GET and HEAD get 308.",
		Doc:     "Redirects requests for another host than ssl-host to it, over HTTPS, also those that came over HTTPS: 301.",
		Example: "true", Family: "redirects", Case: "redirect/ssl",
	},
	{
		Key: "ssl-proxy-headers", On: dialect.OnIngress, Type: "K:V||K:V", Support: dialect.Approximated,
		Note: "Only headers count that no untrusted peer can send, such as X-Forwarded-Proto and Front-End-Https; any other is refused, as a client could send it to keep from the redirect. " +
			"A trusted proxy's X-Forwarded-Proto: https counts in any case.",
		Doc:     "Headers by which a request counts as one over HTTPS for ssl-redirect; see trusted-proxies.",
		Example: "X-Forwarded-Proto:https", Family: "redirects", Case: "redirect/ssl-proxy-headers",
	},
}

// readSSL reads the redirects of unrolled/secure (processRequest), by which Traefik 1.7 applied them.
func readSSL(r *dialect.Reader, shape *dialect.Shape) (*model.HTTPSRedirect, *model.HostRedirect) {
	redirect, redirectAt, _ := r.Bool("ssl-redirect")
	force, forceAt, _ := r.Bool("ssl-force-host")
	host, hostAt, isHost := readSSLHost(r)
	status := model.RedirectMoved
	temporary, temporaryAt, isTemporary := r.Bool("ssl-temporary-redirect")
	if temporary {
		status = model.RedirectTemporary
	}
	development, developmentAt, _ := r.Bool("is-development")
	without := func(at diag.Origin, why, fix string) {
		r.Say(diag.New(diag.CodeWithoutEffect, at, why, "it has no effect", fix))
	}
	if redirect && development {
		r.Say(diag.New(diag.CodeWithoutEffect, redirectAt, "is-development switches ssl-redirect off", "plain requests are served", "remove is-development").With(developmentAt))
		redirect = false
	}
	if force && host == "" {
		if !isHost {
			without(forceAt, "ssl-force-host needs ssl-host", "give ssl-host, or remove it")
		}
		force = false
	}
	var unless []model.HeaderIs
	if redirect || !development {
		unless = readProxyHeaders(r, redirect, shape)
	}
	if !redirect && !force {
		if isTemporary {
			without(temporaryAt, "there is no redirect to HTTPS that could be temporary", "add ssl-redirect: \"true\", or remove it")
		}
		if host != "" {
			without(hostAt, "there is no redirect to ssl-host", "add ssl-redirect: \"true\", or remove it")
		}
		return nil, nil
	}
	for _, used := range []struct {
		used bool
		at   diag.Origin
	}{{redirect, redirectAt}, {force, forceAt}, {host != "", hostAt}, {isTemporary, temporaryAt}} {
		if used.used {
			shape.Annotations = append(shape.Annotations, used.at)
		}
	}
	var toHTTPS *model.HTTPSRedirect
	if redirect {
		toHTTPS = &model.HTTPSRedirect{Status: status, Host: host, Unless: unless, Origin: redirectAt}
	}
	if !force {
		return toHTTPS, nil
	}
	return toHTTPS, &model.HostRedirect{Host: host, Status: status, Origin: forceAt}
}

// readSSLHost reads ssl-host; host is empty where it is absent or no host.
func readSSLHost(r *dialect.Reader) (host string, at diag.Origin, given bool) {
	text, at, ok := r.Value("ssl-host")
	if !ok {
		return "", at, false
	}
	name, port := text, ""
	// The colons of a bare IPv6 address begin no port.
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') && (strings.Count(text, ":") == 1 || strings.Contains(text, "]")) {
		name, port = text[:i], text[i+1:]
	}
	parsed, err := model.ParseHost(name)
	if n, bad := strconv.ParseUint(port, 10, 16); port != "" && (bad != nil || n == 0) || err != nil || parsed.Kind() != model.HostExact {
		r.Bad(at, text, "a host, with a port or without", "requests are redirected to the host that they ask for")
		return "", at, true
	}
	host = parsed.Name()
	if port != "" {
		host += ":" + port
	}
	return host, at, true
}

// readProxyHeaders reads ssl-proxy-headers. A client that could send such a header by itself would keep from the redirect.
func readProxyHeaders(r *dialect.Reader, redirects bool, shape *dialect.Shape) []model.HeaderIs {
	text, at, ok := r.Value("ssl-proxy-headers")
	if !ok {
		return nil
	}
	if !redirects {
		r.Say(diag.New(diag.CodeWithoutEffect, at, "there is no ssl-redirect for ssl-proxy-headers to speak of", "it has no effect", "add ssl-redirect: \"true\", or remove it"))
		return nil
	}
	var out []model.HeaderIs
	for i, pair := range strings.Split(text, "||") {
		name, value, ok := strings.Cut(pair, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || value == "" || nameFault(name) != "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }):
			// A value is never quoted back: it may be a secret that is shared with a proxy.
			r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("entry %d is not NAME:VALUE", i+1), "it does not count", "write NAME:VALUE, several separated by ||"))
		case !model.Spoofable(name) || name == "x-forwarded-host":
			r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("any client may send %s, and so keep from the redirect to HTTPS", name), "it does not count",
				"name a header that is taken off untrusted peers, such as X-Forwarded-Proto, and its sender by --trusted-proxies"))
		default:
			out = append(out, model.HeaderIs{Name: name, Value: value})
		}
	}
	if len(out) > 0 {
		shape.Annotations = append(shape.Annotations, at)
	}
	return out
}
