package proxy

import (
	"net/http"
	"strings"
)

// prefixV2 is the script prefix-v2 in Go: it puts Location and cookie paths of a response under prefix. authority is
// what the client asked for, before any rewrite. docs/design/xds.md says what it does; the table of its test is run
// through the Lua source on Envoy too.
func prefixV2(h http.Header, prefix, authority string) {
	for i, value := range h["Location"] {
		h["Location"][i] = prefixLocation(value, prefix, authority)
	}
	for i, value := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = prefixCookie(value, prefix)
	}
}

// under tells whether path is the prefix or begins with it at an element boundary; ends holds the characters that,
// besides a slash, end an element.
func under(path, prefix, ends string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/' || strings.IndexByte(ends, rest[0]) >= 0)
}

func prefixLocation(value, prefix, authority string) string {
	if strings.HasPrefix(value, "/") {
		if strings.HasPrefix(value, "//") || under(value, prefix, "?#") {
			return value
		}
		return prefix + value
	}
	scheme, rest, found := strings.Cut(value, "://")
	if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return value
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	if bareHost(host) != bareHost(authority) {
		return value
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if under(path, prefix, "?#") {
		return value
	}
	return scheme + "://" + host + prefix + path
}

// bareHost is an authority without its port, in lower case.
func bareHost(authority string) string {
	host := strings.TrimRight(authority, "0123456789")
	if !strings.HasSuffix(host, ":") {
		host = authority
	}
	return strings.ToLower(strings.TrimSuffix(host, ":"))
}

const blank = " \t"

func prefixCookie(value, prefix string) string {
	pair, attributes, found := strings.Cut(value, ";")
	// Browsers accept a __Host- cookie with Path=/ only, whatever the case of the name.
	name := strings.TrimLeft(pair, blank)
	if !found || len(name) >= len("__Host-") && strings.EqualFold(name[:len("__Host-")], "__Host-") {
		return value
	}
	parts := strings.Split(attributes, ";")
	for i, part := range parts {
		key, path, found := strings.Cut(part, "=")
		if !found || !strings.EqualFold(strings.Trim(key, blank), "path") {
			continue
		}
		lead := len(path) - len(strings.TrimLeft(path, blank))
		kept := strings.Trim(path, blank)
		if !strings.HasPrefix(kept, "/") || under(kept, prefix, "") {
			continue
		}
		space := path[lead+len(kept):]
		if kept == "/" {
			kept = ""
		}
		parts[i] = key + "=" + path[:lead] + prefix + kept + space
	}
	return pair + ";" + strings.Join(parts, ";")
}
