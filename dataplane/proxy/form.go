package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// methods are those that Envoy's HTTP/1 parser knows (balsa_parser.cc); each was asked of the binary. Over HTTP/2 a
// method may be any token.
var methods = func() map[string]bool {
	known := map[string]bool{}
	for name := range strings.FieldsSeq("ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR " +
		"MKCOL MOVE MSEARCH NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE " +
		"UNBIND UNLINK UNLOCK UNSUBSCRIBE") {
		known[name] = true
	}
	return known
}()

func knownMethod(r *http.Request) bool {
	if r.ProtoMajor == 1 {
		return methods[r.Method]
	}
	return httpguts.ValidHeaderFieldName(r.Method) // a token, both
}

// wellFormedHTTP2 checks what net/http lets pass over HTTP/2 and Envoy does not: a path that is none, a length that is
// none or not that of a request without a body.
func wellFormedHTTP2(r *http.Request) bool {
	asterisk := r.Method == http.MethodOptions && r.RequestURI == "*"
	if r.Method != http.MethodConnect && !strings.HasPrefix(r.RequestURI, "/") && !asterisk {
		return false
	}
	lengths := r.Header["Content-Length"]
	if len(lengths) == 0 {
		return true
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	return err == nil && len(lengths) == 1 && int64(n) == r.ContentLength
}
