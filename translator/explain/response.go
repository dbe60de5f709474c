package explain

import (
	"net/http"
	"strings"
)

// RewriteLocation is a response's Location as the client gets it from a route that strips prefix: an absolute path, or
// an absolute URL to the host that the client asked for, gets the prefix before its path unless it is there already.
// requestHost is the client's Host; neither ports nor a dot at its end matter. Everything else is left as it is.
func RewriteLocation(prefix, requestHost, value string) string {
	before, rest := "", value
	if authority, ok := cutScheme(value); ok {
		before = value[:len(value)-len(authority)]
		end := strings.IndexAny(authority, "/?#")
		if end < 0 {
			end = len(authority)
		}
		if _, port := cutPort(authority[:end]); strings.Trim(port, ":0123456789") != "" ||
			hostName(authority[:end]) != hostName(withoutHostDot(requestHost)) {
			return value
		}
		before, rest = before+authority[:end], authority[end:]
		if rest == "" || rest[0] != '/' {
			rest = "/" + rest
		}
	} else if !strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//") {
		return value
	}
	if under(prefix, rest) {
		return value
	}
	return before + prefix + rest
}

// cutScheme gives what follows http:// or https://.
func cutScheme(value string) (string, bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) {
			return value[len(scheme):], true
		}
	}
	return "", false
}

// under says whether a path (with what follows it) is the prefix or below it.
func under(prefix, path string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}

// LoosenPage changes the headers of a response whose base element may be rewritten: they promise nothing of its bytes.
// What is no whole HTML page without compression is left as it is.
func LoosenPage(status int, h http.Header) {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	encoding := strings.ToLower(h.Get("Content-Encoding"))
	page := strings.EqualFold(strings.TrimSpace(mediaType), "text/html") && (encoding == "" || encoding == "identity")
	switch status {
	case http.StatusSwitchingProtocols, http.StatusPartialContent:
		page = false
	case http.StatusNotModified:
		page = true // it names no type
	}
	if tag := h.Get("ETag"); page && strings.HasPrefix(tag, "\"") {
		h.Set("ETag", "W/"+tag)
	}
	if page && status != http.StatusNotModified {
		for _, name := range []string{"Content-Length", "Accept-Ranges", "Content-Digest", "Repr-Digest", "Digest", "Content-MD5"} {
			h.Del(name)
		}
	}
}

// RewriteSetCookie is a response's Set-Cookie as the client gets it from a route that strips prefix: a Path that begins
// with / is put under the prefix unless it is there already. A cookie without Path, and one named __Host-…, whose Path
// must be /, are left alone.
func RewriteSetCookie(prefix, value string) string {
	parts := strings.Split(value, ";")
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(parts[0])), "__host-") {
		return value
	}
	for i, part := range parts[1:] {
		name, path, ok := strings.Cut(part, "=")
		bare := strings.TrimSpace(path)
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "path") || !strings.HasPrefix(bare, "/") {
			continue
		}
		moved := prefix + bare
		switch {
		case bare == prefix || strings.HasPrefix(bare, prefix+"/"):
			continue
		case bare == "/":
			moved = prefix
		}
		parts[i+1] = name + "=" + strings.Replace(path, bare, moved, 1)
	}
	return strings.Join(parts, ";")
}
