package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/postern-gateway/postern/dataplane/authorize"
	"github.com/postern-gateway/postern/dataplane/config"
)

// askedWaitMax is how long a request waits for what the authorizer needs and was never asked for.
const askedWaitMax = 5 * time.Second

var (
	errNoUsers   = errors.New("the control plane has no such users")
	errNotInTime = errors.New("the control plane has not answered in time")
)

// Authorizer decides about requests by what this proxy knows: the same for its own requests and for an Envoy's.
func (p *Proxy) Authorizer() *authorize.Checker { return p.authorizer }

// authorize asks the authorizer, and has the request as it is to go on. False says that it was answered.
func (x *exchange) authorize() bool {
	ctx := context.WithValue(x.r.Context(), snapshotKey{}, x.snapshot)
	verdict, err := x.proxy.authorizer.Check(ctx, x.checkRequest())
	if ok := verdict.GetOkResponse(); err == nil && ok != nil {
		for _, h := range ok.GetHeaders() {
			x.r.Header.Set(h.GetHeader().GetKey(), h.GetHeader().GetValue())
		}
		for _, name := range ok.GetHeadersToRemove() {
			x.r.Header.Del(name)
		}
		return true
	}
	denied := verdict.GetDeniedResponse()
	if denied == nil {
		x.replyByRoute(http.StatusServiceUnavailable, x.values(0))
		return false
	}
	x.deny(denied)
	return false
}

// deny answers as the authorizer says. Its headers take the place of the route's: Envoy writes them last, so that the route
// adds to them and takes none of them off.
func (x *exchange) deny(denied *authv3.DeniedHttpResponse) {
	h := x.w.Header()
	v := x.values(0)
	v.Status = int(denied.GetStatus().GetCode())
	x.changeResponse(h, v)
	for _, o := range denied.GetHeaders() {
		h.Del(o.GetHeader().GetKey())
	}
	for _, o := range denied.GetHeaders() {
		h.Add(o.GetHeader().GetKey(), o.GetHeader().GetValue())
	}
	body := denied.GetBody()
	if !x.manager.KeepsDenied {
		body = x.manager.LocalReply.Render(v)
		h.Set("Content-Type", "text/plain")
	}
	if page := x.errors.of(v.Status); page != nil {
		x.replyPage(*page, v.Status)
		return
	}
	if body == "" {
		h["Content-Type"] = nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(v.Status)
	io.WriteString(x.w, body) // an error is a client that has gone
}

// checkRequest is the request in the words of ext_authz.
func (x *exchange) checkRequest() *authv3.CheckRequest {
	headers := &corev3.HeaderMap{}
	for name, values := range x.r.Header {
		for _, value := range values {
			headers.Headers = append(headers.Headers, &corev3.HeaderValue{Key: strings.ToLower(name), RawValue: []byte(value)})
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: x.r.Method, Path: x.path, Host: x.authority, HeaderMap: headers,
		}},
		ContextExtensions: x.route.Filters.Authorize,
	}}
}

// userFiles are the users that requests have asked for, by the name of their secret.
type userFiles struct {
	ask, forget func(name string) // subscribe and unsubscribe

	mu    sync.Mutex
	files map[string]*userFile // guarded by mu
}

type userFile struct {
	answered chan struct{} // closed by the first answer
	users    *config.Users // nil until there are some; guarded by userFiles.mu
	leaving  *time.Timer   // until users that were taken back go; nil otherwise; guarded by userFiles.mu
}

// usersGrace is how long users that are taken back are kept. Routes that name them have gone or are closed by then, but
// requests that came by one may still be about to ask.
const usersGrace = 2 * time.Second

func newUserFiles(ask, forget func(string)) *userFiles {
	return &userFiles{ask: ask, forget: forget, files: make(map[string]*userFile)}
}

// Users implements authorize.Sources.
func (p *Proxy) Users(ctx context.Context, name string) (*config.Users, error) {
	return p.users.get(ctx, name)
}

func (u *userFiles) get(ctx context.Context, name string) (*config.Users, error) {
	u.mu.Lock()
	f := u.files[name]
	if f == nil {
		f = &userFile{answered: make(chan struct{})}
		u.files[name] = f
		u.ask(name)
	}
	users := f.users
	u.mu.Unlock()
	if users != nil {
		return users, nil
	}
	wait := time.NewTimer(askedWaitMax)
	defer wait.Stop()
	select {
	case <-f.answered:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, errNotInTime
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.users == nil {
		return nil, errNoUsers
	}
	return f.users, nil
}

// asked tells whether a secret was asked for as users.
func (u *userFiles) asked(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.files[name] != nil
}

func (u *userFiles) set(name string, users *config.Users) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.files[name]
	if f == nil {
		return
	}
	if f.users == nil {
		close(f.answered)
	}
	f.users = users
	if f.leaving != nil {
		f.leaving.Stop()
		f.leaving = nil
	}
}

// remove takes users back: there are none, or no longer. The next request asks anew.
func (u *userFiles) remove(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch f := u.files[name]; {
	case f == nil, f.leaving != nil:
	case f.users == nil:
		close(f.answered)
		delete(u.files, name)
		u.forget(name)
	default:
		f.leaving = time.AfterFunc(usersGrace, func() { u.drop(name, f) })
	}
}

// drop forgets users whose grace is over, unless they have come again.
func (u *userFiles) drop(name string, f *userFile) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files[name] != f || f.leaving == nil {
		return
	}
	delete(u.files, name)
	f.users = nil
	u.forget(name)
}

// snapshotKey is the key of the snapshot that was in force when the request came whose user is asked for.
type snapshotKey struct{}

// snapshotOf is that of a request, or the one that is in force now.
func (p *Proxy) snapshotOf(ctx context.Context) *snapshot {
	if s, ok := ctx.Value(snapshotKey{}).(*snapshot); ok {
		return s
	}
	return p.snapshot.Load()
}

// Transport implements authorize.Sources.
func (p *Proxy) Transport(ctx context.Context, cluster string) (http.RoundTripper, func(), error) {
	up := p.snapshotOf(ctx).upstreams[cluster]
	if p.options.ClustersByName && !p.usable(up) {
		var err error
		if up, err = p.waitForCluster(ctx, cluster); err != nil {
			return nil, nil, err
		}
	}
	if up == nil {
		return nil, nil, errNoCluster
	}
	up.pool.acquire()
	return &asker{up}, up.pool.release, nil
}

// usable tells whether a cluster has all that it names.
func (p *Proxy) usable(up *upstream) bool {
	if up == nil || !up.arrived {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.credentials(up.config).missing() == nil
}

// waitForCluster asks for a cluster by its name, and waits until it has all that it names.
func (p *Proxy) waitForCluster(ctx context.Context, name string) (*upstream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askedWaitMax, errNotInTime)
	defer cancel()
	for {
		p.mu.Lock()
		up, changed := p.upstreams[name], p.changed
		if !p.clustersAsked[name] {
			p.clustersAsked[name] = true
			p.subscriber.Subscribe(config.ClusterType, name)
		}
		p.mu.Unlock()
		if p.usable(up) {
			return up, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		p.mu.Lock()
		asked := p.clustersAsked[name]
		p.mu.Unlock()
		if !asked {
			return nil, errNoCluster
		}
	}
}

// asker is the transport of one request of the authorizer's own.
type asker struct{ upstream *upstream }

func (a *asker) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Scheme = a.upstream.scheme()
	send := &sender{upstream: a.upstream, body: new(watchedBody), retries: 1, session: new(session)}
	defer send.end()
	response, err := send.RoundTrip(r)
	if err != nil {
		a.upstream.failures.report(err)
		return nil, err
	}
	a.upstream.failures.clear()
	return response, nil
}
