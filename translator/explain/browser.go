package explain

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// noteOnSpelling says what a browser sends in place of the URL as it is written.
func (n *narrator) noteOnSpelling() {
	if n.request.Fragment {
		n.note("a client does not send # and what follows it, so that it is left out here")
	}
	host, port := cutPort(n.target.authority)
	path, query, asks := strings.Cut(n.target.path, "?")
	sent := browserHost(host) + port + browserSpelling(path, "\"<>`{}")
	if asks {
		sent += "?" + browserSpelling(query, "\"<>")
	}
	if sent == n.target.authority+n.target.path {
		return
	}
	scheme, _, _ := strings.Cut(n.request.URL, "://")
	n.note("a browser sends this URL as %s://%s: ask that for what it gets", scheme, sent)
}

// browserHost is a host as a browser sends it: in ASCII (UTS 46). What it would refuse stays as it is.
func browserHost(host string) string {
	if strings.IndexFunc(host, func(c rune) bool { return c >= 0x80 }) < 0 {
		return host
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii
	}
	return host
}

// browserSpelling is a part of a URL as a browser sends it (URL standard, percent-encode sets): what is no ASCII and no
// graphic character percent-encoded, and the characters that are named.
func browserSpelling(part, more string) string {
	var b strings.Builder
	for i := range len(part) {
		if c := part[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(more, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
