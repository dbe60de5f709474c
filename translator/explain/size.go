package explain

import (
	"fmt"
	"net/http"
	"strings"
)

// How much the head of a request may hold (docs/operate/security.md). Both data planes have the same setting, and count
// otherwise near it, as was measured on Envoy 1.40 and the Go data plane.
const (
	// headersMax is how many headers there may be. Envoy counts Host, and over HTTP/2 what stands in its place (:method,
	// :scheme, :authority and :path); the Go data plane does not, and over HTTP/2 has all cookies as one.
	headersMax = 100
	// headBytesMax is what Envoy lets the head have: the bytes of all its lines, over HTTP/2 those of names and values.
	headBytesMax = 60 << 10
	// goHeadBytesMax is that of the Go data plane, over HTTP/1; over HTTP/2 it adds goFieldBytes for each header (RFC 9113,
	// 6.5.2) to names and values, and lets them have goListBytesMax.
	goHeadBytesMax = 65550
	goListBytesMax = headBytesMax + 10*goFieldBytes
	goFieldBytes   = 32
)

// head is what is counted of a request's head.
type head struct {
	// headers are those beside Host and what stands in its place, cookies how many of them are Cookie.
	headers, cookies int
	// bytes are as Envoy counts them.
	bytes int
}

func (n *narrator) head() head {
	var h head
	perLine := len(": \r\n")
	if n.request.HTTP2 {
		perLine = 0
	}
	for name, values := range n.request.Header {
		for _, value := range values {
			h.headers++
			h.bytes += len(name) + len(value) + perLine
		}
		if strings.EqualFold(name, "Cookie") {
			h.cookies += len(values)
		}
	}
	if n.request.HTTP2 {
		scheme, _, _ := strings.Cut(n.request.URL, "://")
		h.bytes += len(":method"+":scheme"+":authority"+":path") + len(n.request.Method) + len(scheme)
	} else {
		h.bytes += len(n.request.Method) + len("  HTTP/1.1\r\n"+"Host: \r\n"+"\r\n")
	}
	h.bytes += len(n.target.authority) + len(n.target.path)
	return h
}

// refusals say by which count each data plane refuses a head, empty where it does not.
func (n *narrator) refusals() (byEnvoy, byGo string) {
	h := n.head()
	count, size := fmt.Sprintf("the request has %d headers beside Host, and %d is the limit", h.headers, headersMax),
		fmt.Sprintf("the head of the request has %d bytes, and %d KiB is the limit", h.bytes, headBytesMax>>10)
	own, goCount, goBytes, goMax := 1, h.headers, h.bytes, goHeadBytesMax
	if n.request.HTTP2 {
		own = 4
		goCount -= max(h.cookies-1, 0)
		goBytes += (h.headers + own) * goFieldBytes
		goMax = goListBytesMax
	}
	switch {
	case h.bytes > headBytesMax:
		byEnvoy = size
	case h.headers+own > headersMax:
		byEnvoy = count
	}
	switch {
	case goBytes > goMax:
		byGo = size
	case goCount > headersMax:
		byGo = count
	}
	return byEnvoy, byGo
}

// checkSize refuses a head that both data planes refuse. Near the limits, where one of them does, it is told of.
func (n *narrator) checkSize() bool {
	byEnvoy, byGo := n.refusals()
	switch {
	case byEnvoy == "" && byGo == "":
		return false
	case byGo == "":
		n.note("%s; this near to it Envoy refuses the request, and the Go data plane takes it", byEnvoy)
		return false
	case byEnvoy == "":
		n.note("%s; this near to it the Go data plane refuses the request, and Envoy takes it", byGo)
		return false
	}
	if n.request.HTTP2 {
		n.note("over HTTP/2 Envoy ends the stream without an answer, and so does the Go data plane where the path is what is too long")
	}
	n.story.Decision = Decision{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: byEnvoy}
	return true
}
