// Package authorize decides whether a request may go on: by the users of a Secret (basic, digest), or by asking a server
// (forward), as Traefik 1.7 did. Both data planes ask it, in the words of Envoy's ext_authz: Envoy over a unix socket,
// the Go data plane in its own process.
//
// It fails closed: whatever cannot be decided is answered 503.
package authorize

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/postern-gateway/postern/dataplane/config"
)

// Sources are where a Checker gets what routes name. Both wait, within bounds of their own, for what was never asked for.
type Sources interface {
	// Users are those of a secret.
	Users(ctx context.Context, name string) (*config.Users, error)
	// Transport reaches a cluster, whatever the host of a request's URL; release is called when the answer was read.
	Transport(ctx context.Context, cluster string) (transport http.RoundTripper, release func(), err error)
}

// A Checker decides. It implements ext_authz's server.
type Checker struct {
	authv3.UnimplementedAuthorizationServer
	sources   Sources
	log       *slog.Logger
	passwords *Passwords
	nonces    *nonces
	// told is when a failure was logged last, in nanoseconds.
	told atomic.Int64
}

// New makes a Checker with keys and memories of its own.
func New(sources Sources, log *slog.Logger) *Checker {
	return &Checker{sources: sources, log: log, passwords: NewPasswords(), nonces: newNonces(time.Now)}
}

// request is what is decided about.
type request struct {
	config.Authorization
	method, path, authority string
	// header is canonical and holds no pseudo-headers.
	header http.Header
}

// Check decides. Its error is always nil: what fails is an answer, 503.
func (c *Checker) Check(ctx context.Context, asked *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	r, err := read(asked)
	if err != nil {
		return c.failed("read what a route asks for", err), nil
	}
	switch r.Kind {
	case config.AuthorizeBasic:
		return c.basic(ctx, r), nil
	case config.AuthorizeDigest:
		return c.digest(ctx, r), nil
	default:
		return c.forward(ctx, r), nil
	}
}

// read takes the request out of ext_authz's words.
func read(asked *authv3.CheckRequest) (request, error) {
	a, err := config.ParseAuthorization(asked.GetAttributes().GetContextExtensions())
	if err != nil {
		return request{}, err
	}
	from := asked.GetAttributes().GetRequest().GetHttp()
	r := request{Authorization: a, method: from.GetMethod(), path: from.GetPath(), authority: from.GetHost(), header: http.Header{}}
	for _, h := range from.GetHeaderMap().GetHeaders() {
		if strings.HasPrefix(h.GetKey(), ":") {
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(h.GetKey())
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		r.header[name] = append(r.header[name], value)
	}
	if r.method == "" || !strings.HasPrefix(r.path, "/") || r.authority == "" {
		return request{}, errors.New("a request without method, path or host")
	}
	return r, nil
}

// reportInterval is the least time between two lines of the log about failures.
const reportInterval = time.Second

// failed answers 503 and says why, in the log alone. No error here holds a password, a hash or a token.
func (c *Checker) failed(what string, err error) *authv3.CheckResponse {
	now, last := time.Now().UnixNano(), c.told.Load()
	if now-last >= int64(reportInterval) && c.told.CompareAndSwap(last, now) {
		c.log.Error("a request is answered 503, for it cannot be authorized", "at", what, "reason", err)
	}
	return refuse(http.StatusServiceUnavailable, nil)
}

// admit lets a request go on with headers set and others taken off.
func admit(set []*corev3.HeaderValueOption, remove []string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{Headers: set, HeadersToRemove: remove}},
	}
}

// refuse answers in the form of all of the gateway's own answers: the number and nothing else.
func refuse(code int, challenges []string) *authv3.CheckResponse {
	headers := []*corev3.HeaderValueOption{header("content-type", "text/plain")}
	for _, challenge := range challenges {
		headers = append(headers, header("www-authenticate", challenge))
	}
	return answer(code, headers, strconv.Itoa(code)+"\n")
}

func answer(code int, headers []*corev3.HeaderValueOption, body string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(code)}, Headers: headers, Body: body,
		}},
	}
}

// header sets a header in the place of what is there. Envoy 1.40 takes no raw values of answers that refuse, and a string of
// a proto is UTF-8.
func header(name, value string) *corev3.HeaderValueOption {
	value = strings.ToValidUTF8(value, "?")
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// userKnown lets a request of a user go on.
func userKnown(r request, user string) *authv3.CheckResponse {
	var set []*corev3.HeaderValueOption
	var remove []string
	if r.RemoveAuthorization {
		remove = append(remove, "authorization")
	}
	if r.Header != "" {
		set = append(set, header(r.Header, user))
		if r.Header == "authorization" {
			remove = nil
		}
	}
	return admit(set, remove)
}
