package resolve

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// auth looks up what a claim's auth refers to. What cannot be used closes the route.
func (r *backendResolver) auth(c model.Claim) (*model.Auth, *model.Closed) {
	asked := c.Policies.Auth
	if asked == nil {
		return nil, nil
	}
	if asked.Kind != model.AuthForward {
		return asked, r.findUsers(c.Object.Cluster, *asked)
	}
	forward := *asked.Forward
	b, closed := r.authServer(c, forward)
	if closed != nil {
		return nil, closed
	}
	r.backends[b.Name] = b
	forward.Backend = b.Name
	resolved := *asked
	resolved.Forward = &forward
	return &resolved, nil
}

// findUsers looks up a Secret of users.
func (r *backendResolver) findUsers(cluster string, a model.Auth) *model.Closed {
	if _, known := r.users[a.UsersName()]; known {
		return nil
	}
	out := model.Users{Name: a.UsersName()}
	key := ServiceKey{cluster, a.Users.Namespace, a.Users.Name}
	unusable := func(message, fix string) *model.Closed {
		return r.closed(diag.New(diag.CodeUsersUnusable, a.Users.Origin, message, closesPath+", because nobody could log in", fix))
	}
	secret, exists := r.credentials.looked.secret(key)
	if !exists {
		d := diag.New(diag.CodeUsersUnusable, a.Users.Origin, "", closesPath+", because nobody could log in", "")
		return r.closed(r.credentials.looked.told(absence{model.KindSecret, key}, d))
	}
	if len(secret.Data) != 1 {
		return unusable(fmt.Sprintf("Secret %s has %d keys, not exactly one", key, len(secret.Data)), "give it one key with the lines of all users")
	}
	var broken []brokenLine
	for _, text := range secret.Data {
		out.Entries, broken = readUsers(a.Kind, text)
	}
	out.Origins = model.Origins{secret.Origin("data")}
	for _, line := range broken {
		r.diagnostics = append(r.diagnostics, diag.New(diag.CodeUsersLine, secret.Origin("data"),
			fmt.Sprintf("line %d of Secret %s: %s", line.number, key, line.fault), "its user cannot log in",
			"write the line anew, by htpasswd -B or for digest by htdigest").With(a.Users.Origin))
	}
	if len(out.Entries) == 0 {
		return unusable(fmt.Sprintf("Secret %s has no line of a user that can be used", key), "add one by htpasswd -B, or for digest by htdigest")
	}
	r.users[out.Name] = out
	return nil
}

// usersOf are those that routes ask for, sorted by name.
func (r *backendResolver) usersOf(tables []model.Table) []model.Users {
	used := map[string]model.Users{}
	eachRoute(tables, func(route model.Route) {
		if a := route.Auth; a != nil && a.Kind != model.AuthForward {
			used[a.UsersName()] = r.users[a.UsersName()]
		}
	})
	return sorted(used)
}

// eachRoute visits every route of the tables.
func eachRoute(tables []model.Table, visit func(model.Route)) {
	for _, t := range tables {
		for _, h := range slices.Concat(t.Exact, t.Wildcard) {
			for _, route := range h.Routes {
				visit(route)
			}
		}
		for _, route := range slices.Concat(t.Any, t.Default) {
			visit(route)
		}
	}
}

// authServer finds the backend of a server that is asked. It is a Service, by the names that the cluster's DNS has for
// it, or a name outside of the cluster; where it may be is what an ExternalName of the claim's namespace might lead to.
func (r *backendResolver) authServer(c model.Claim, f model.ForwardAuth) (model.Backend, *model.Closed) {
	c.Policies.UpstreamTLS = model.UpstreamTLSClaim{SkipVerify: f.SkipVerify, Client: f.Client}
	c.Policies.Protocol = model.ProtocolHTTP
	if f.HTTPS {
		c.Policies.Protocol = model.ProtocolHTTPS
	}
	if closed := r.exactlyPair(c, f.Client); closed != nil {
		return model.Backend{}, closed
	}
	host := canonicalName(f.Host)
	key, inside := r.clusterService(c.Object.Cluster, host)
	if !inside && r.isNamespace(key) {
		// As NAME.NAMESPACE it would be asked, were it there.
		r.absent[AbsentPort{key, model.PortRef{Number: int32(f.Port)}}] = true
	}
	ref := reference{Claim: c, Backend: model.BackendRef{
		Namespace: c.Object.Namespace, Service: key.Name, Port: model.PortRef{Number: int32(f.Port)}, Origin: f.URLOrigin,
	}}
	if inside && key.Namespace == c.Object.Namespace {
		found, closed := r.find(ref)
		return found.backend, closed
	}
	e := externalService{claim: ref, service: namedService(c.Object, host), port: corev1.ServicePort{Port: int32(f.Port)}, place: &f.URLOrigin}
	if fault := authHostFault(host); fault != "" {
		return model.Backend{}, r.closed(e.refusal(diag.CodeNameRefused, fmt.Sprintf("%q leads nowhere: %s", host, fault),
			"write NAME.NAMESPACE.svc, of a Service without selector for what has an address alone"))
	}
	names := []string{host}
	var assignment string
	var closed *model.Closed
	if inside {
		names = r.dnsNames(key)
		assignment, closed = r.inside(e, key)
	} else {
		assignment, closed = r.outside(e)
	}
	if closed != nil {
		return model.Backend{}, closed
	}
	b := model.Backend{
		Name: portKey(e.key(), e.port), Protocol: c.Policies.Protocol, Assignment: assignment, Origins: model.Origins{f.URLOrigin},
	}
	return r.spokenTo(b, ref, e.key(), names)
}

// authHostFault says why a host is none that may be asked, empty where it may.
func authHostFault(host string) string {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return "it is an address, and no DNS name"
	}
	return syntaxFault(host)
}

// clusterService reads the names that a pod has for a Service: NAME.NAMESPACE.svc with the cluster domain or without, and
// NAME.NAMESPACE where there is that Service, as the search list of a pod finds it.
func (r *backendResolver) clusterService(cluster, host string) (ServiceKey, bool) {
	if key, ok := r.parseClusterName(cluster, host); ok {
		return key, true
	}
	name, namespace, two := strings.Cut(host, ".")
	key := ServiceKey{cluster, namespace, name}
	_, exists := r.services[key]
	return key, two && exists
}

// namedService stands for an ExternalName of the claim's namespace to a host, so that what is asked by name goes where such
// a one might lead. No Service has a name with dots.
func namedService(of model.ObjectID, host string) source.Service {
	return source.Service{
		Place: source.Place{Cluster: of.Cluster},
		Service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: host},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: host},
		},
	}
}

// exactlyPair closes a route whose client certificate's Secret has other keys than tls.crt and tls.key.
func (r *backendResolver) exactlyPair(c model.Claim, client *model.Word[string]) *model.Closed {
	if client == nil {
		return nil
	}
	key := ServiceKey{c.Object.Cluster, c.Object.Namespace, client.Value}
	secret, exists := r.credentials.looked.secret(key)
	if !exists {
		return r.missing(client.Origin, model.KindSecret, key)
	}
	want := []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey}
	if got := slices.Sorted(maps.Keys(secret.Data)); !slices.Equal(got, want) {
		return r.closed(diag.New(diag.CodeUpstreamBroken, client.Origin, fmt.Sprintf("Secret %s has not exactly the keys tls.crt and tls.key", key),
			closesPath+", because the auth server is to be shown a client certificate", "store a certificate and the key that belongs to it").
			With(secret.Origin("data")))
	}
	return nil
}
