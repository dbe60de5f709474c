package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// tlsSettings are what a connection must show, looked up. Equal ones make one group.
type tlsSettings struct {
	clientCA   ServiceKey
	minVersion model.TLSVersion
}

// name is as in model.TLSGroup. No version is a namespace's place, and the Secret's name has no slash.
func (s tlsSettings) name() string {
	if s.clientCA.Name == "" {
		return string(s.minVersion)
	}
	return string(s.minVersion) + "/" + s.clientCA.String()
}

// asked is what one claim asks of its host's connections.
type asked struct {
	settings tlsSettings
	// more is false where the claim asks for nothing beyond what the entry asks of everyone.
	more bool
	// closed, where not nil, is why it cannot be applied.
	closed *model.Closed
}

// hostTLS is what holds for the TLS connections to one host.
type hostTLS struct {
	settings tlsSettings
	// holder is the claim whose settings hold, closed why no HTTPS route of the host may be served; one of the two is set.
	holder *model.Claim
	closed *model.Closed
}

// by is the object whose settings hold, origins its annotations.
func (h hostTLS) by() string             { return h.holder.Origins[0].Object() }
func (h hostTLS) origins() model.Origins { return h.holder.Policies.Connection.Origins }

// connectionResolver settles what the connections to each host must show.
type connectionResolver struct {
	in          Input
	looked      *objects
	bundles     map[ServiceKey]clientCA
	hosts       map[model.Host]hostTLS
	shared      map[sharing]bool
	diagnostics []diag.D
}

// sharing is an object that was told of settings for a host of its.
type sharing struct {
	object model.ObjectID
	host   model.Host
}

// clientCA is a Secret's bundle of authorities, or what is wrong with it.
type clientCA struct {
	bundle []byte
	// wrong says why it is none; absent that there is no Secret, as far as is known.
	wrong  string
	absent bool
	origin diag.Origin
}

// settleConnections closes the claims whose TLS settings cannot be applied, in place, and finds the settings of each
// host. The claims come sorted by age: of two settings for a host the older object's hold.
func settleConnections(in Input, claims []model.Claim, looked *objects) *connectionResolver {
	r := &connectionResolver{
		in: in, looked: looked, bundles: map[ServiceKey]clientCA{}, hosts: map[model.Host]hostTLS{},
		shared: map[sharing]bool{},
	}
	all := make([]asked, len(claims))
	for i := range claims {
		r.sayWithoutHTTPS(claims[i])
		all[i] = r.read(claims[i])
	}
	for i := range claims {
		r.hold(&claims[i], all[i])
	}
	for i := range claims {
		r.sayWithoutCertificate(claims[i])
		r.judge(&claims[i], &all[i])
		if claims[i].Closed == nil {
			claims[i].Closed = all[i].closed
		}
	}
	return r
}

// sayWithoutHTTPS tells what asks something of HTTPS and is on entries without TLS only. A client CA closes the routes
// there, which onEntry says.
func (r *connectionResolver) sayWithoutHTTPS(c model.Claim) {
	served := false
	for _, e := range r.in.Settings.Entries {
		if onEntry(c, e) && e.TLS {
			return
		}
		served = served || onEntry(c, e)
	}
	if !served {
		return
	}
	without := func(what string, at diag.Origin) {
		r.say(diag.New(diag.CodeNoHTTPSEntry, at, what+" is of HTTPS, and the Ingress is served over plain HTTP only",
			"it has no effect", "serve the Ingress on the https entry, or remove it"))
	}
	if hsts := c.Policies.HSTS; hsts != nil && !hsts.Plain {
		without("Strict-Transport-Security", hsts.Origin)
	}
	if wants := c.Policies.Connection; wants.MinVersion != "" && wants.Closed == nil {
		without("a minimum TLS version", wants.Origins[len(wants.Origins)-1])
	}
}

// sayWithoutCertificate tells what would pass on a client's certificate where nobody is asked for one.
func (r *connectionResolver) sayWithoutCertificate(c model.Claim) {
	if c.Policies.ClientCertificate == nil || r.hosts[c.Host].settings.clientCA.Name != "" && r.overTLS(c) {
		return
	}
	r.say(diag.New(diag.CodeWithoutEffect, c.Policies.ClientCertificate.Origin, fmt.Sprintf("no connection to %s is asked for a client certificate", c.Host),
		"backends are told of none, and what a client says of one is taken off", "ask for one by postern.dev/client-ca-secret, or remove it"))
}

// read looks up what a claim asks for.
func (r *connectionResolver) read(c model.Claim) asked {
	wants, floor := c.Policies.Connection, r.floor()
	out := asked{settings: tlsSettings{minVersion: max(wants.MinVersion, floor)}, closed: wants.Closed}
	if wants.Closed == nil && wants.MinVersion != "" && wants.MinVersion < floor {
		r.say(diag.New(diag.CodeTLSVersion, wants.Origins[len(wants.Origins)-1], fmt.Sprintf("%s is below what the whole https entry asks for, %s", wants.MinVersion, floor),
			"it changes nothing", "remove it, or lower --tls-min-version").At(diag.Info))
	}
	if name := wants.ClientCA.Name; name != "" {
		out.settings.clientCA = ServiceKey{c.Object.Cluster, wants.ClientCA.Namespace, name}
	}
	out.more = out.closed != nil || out.settings != tlsSettings{minVersion: floor}
	if !out.more || out.closed != nil {
		return out
	}
	if out.settings.clientCA.Name != "" {
		out.closed = r.checkCA(out.settings.clientCA, wants.ClientCA.Origin)
	}
	if out.closed == nil && !c.Host.HasServerName() {
		out.closed = r.close(diag.New(diag.CodeNoServerName, c.Origins[0],
			"no server name tells its connections apart, so the TLS settings of the Ingress cannot be asked of them",
			"the route answers 503", "give the rule a host that is a DNS name, or move it to an Ingress without them").With(wants.Origins...))
	}
	return out
}

// floor is the lowest version of TLS that the entry takes from anyone.
func (r *connectionResolver) floor() model.TLSVersion {
	return max(r.in.Settings.Edge.TLSMinVersion, model.TLS12)
}

func (r *connectionResolver) say(d diag.D) { r.diagnostics = append(r.diagnostics, d) }

func (r *connectionResolver) close(d diag.D) *model.Closed {
	r.say(d)
	return &model.Closed{Reason: d.Message, Code: d.Code, Origin: d.Origin}
}

// checkCA says why a Secret is no client CA, nil where it is one.
func (r *connectionResolver) checkCA(key ServiceKey, at diag.Origin) *model.Closed {
	ca, known := r.bundles[key]
	if !known {
		ca = r.lookUp(key)
		r.bundles[key] = ca
	}
	if ca.wrong == "" && !ca.absent {
		return nil
	}
	d := diag.New(diag.CodeNoClientCA, at, ca.wrong, "its routes answer 503, and so does every HTTPS route of its hosts",
		"store certificates of authorities as ca.crt of a Secret in the Ingress's namespace")
	if ca.absent {
		d = r.looked.told(absence{model.KindSecret, key}, d)
	}
	if ca.origin != (diag.Origin{}) {
		d = d.With(ca.origin)
	}
	return r.close(d)
}

// caKey is where a Secret holds authorities, as cert-manager and ingress-nginx have it.
const caKey = "ca.crt"

func (r *connectionResolver) lookUp(key ServiceKey) clientCA {
	secret, ok := r.looked.secret(key)
	if !ok {
		return clientCA{absent: true}
	}
	bundle, err := readAuthorities(secret.Data[caKey])
	if err != nil {
		return clientCA{wrong: fmt.Sprintf("Secret %s has no usable %s: %s", key, caKey, err), origin: secret.Origin("data")}
	}
	return clientCA{bundle: bundle, origin: secret.Origin("data")}
}

// overTLS says whether a claim has a place among the routes of a TLS entry that a server name tells apart.
func (r *connectionResolver) overTLS(c model.Claim) bool {
	return c.Host.HasServerName() && c.Rank == model.RankRule && slices.ContainsFunc(r.in.Settings.Entries, func(e model.Entry) bool {
		return e.TLS && onEntry(c, e)
	})
}

// hold has the first settings for a host hold. Where there are only such that cannot be applied, the host is closed:
// all its HTTPS routes are under its settings, whoever wrote them.
func (r *connectionResolver) hold(c *model.Claim, a asked) {
	if !a.more || !r.overTLS(*c) {
		return
	}
	host, known := r.hosts[c.Host]
	switch {
	case host.holder != nil:
	case a.closed == nil:
		r.hosts[c.Host] = hostTLS{settings: a.settings, holder: c}
	case !known:
		r.hosts[c.Host] = hostTLS{closed: a.closed}
	}
}

// judge closes a claim whose settings are not those that hold for its host, and tells one without settings of those
// that do.
func (r *connectionResolver) judge(c *model.Claim, a *asked) {
	host, known := r.hosts[c.Host]
	if !known || a.closed != nil || !r.overTLS(*c) {
		return
	}
	if a.more {
		if a.settings != host.settings {
			a.closed = r.close(diag.New(diag.CodeTLSConflict, c.Policies.Connection.Origins[0],
				fmt.Sprintf("%s has the TLS settings of %s, which are others", c.Host, host.by()),
				"the routes of this Ingress for the host answer 503", "give both Ingresses the same settings").With(host.origins()...))
		}
		return
	}
	to := sharing{c.Object, c.Host}
	if r.shared[to] {
		return
	}
	r.shared[to] = true
	if host.closed != nil {
		r.say(diag.New(diag.CodeTLSShared, c.Origins[0], fmt.Sprintf("the TLS settings of %s cannot be applied: %s", c.Host, host.closed.Reason),
			"over HTTPS its routes for the host answer 503", "correct them, or remove them").At(diag.Error).With(host.closed.Origin))
		return
	}
	r.say(diag.New(diag.CodeTLSShared, c.Origins[0], fmt.Sprintf("%s has the TLS settings of %s", c.Host, host.by()),
		"over HTTPS its routes for the host are reached only by connections that meet them", "").With(host.origins()...))
}

// onEntry makes of a claim's resolved route the one that it is on an entry. On a TLS entry a host whose settings cannot be applied
// is closed; without TLS, so is a route that asks for a client certificate, behind its redirect to HTTPS.
func (r *connectionResolver) onEntry(e model.Entry, c model.Claim, route model.Route) model.Route {
	if e.TLS {
		route.HTTPSRedirect = nil
		if closed := r.hosts[c.Host].closed; closed != nil && c.Rank == model.RankRule {
			route.Action, route.RoutePolicies = closed, model.RoutePolicies{}
		}
		return route
	}
	route.ResponseHeaders, route.HSTS = plainHeaders(route), nil
	if _, open := route.Action.(*model.Forward); open && r.in.Settings.Edge.HTTPSEnforced {
		route.HTTPSRedirect = enforced(route)
	}
	wants := c.Policies.Connection
	if _, open := route.Action.(*model.Forward); !open || wants.ClientCA.Name == "" {
		return route
	}
	closed := &model.Closed{Reason: "it asks for a client certificate, which plain HTTP does not have", Code: diag.CodePlainHTTP, Origin: wants.ClientCA.Origin}
	route.Action, route.RoutePolicies = closed, model.RoutePolicies{}
	if route.HTTPSRedirect == nil {
		r.say(diag.New(closed.Code, closed.Origin, "plain HTTP does not have the client certificate that is asked for", "over HTTP its routes answer 503",
			"have them redirected to HTTPS if clients should find them"))
	}
	return route
}

// plainHeaders are a route's changes of responses on an entry without TLS.
func plainHeaders(r model.Route) []model.HeaderChange {
	var out []model.HeaderChange
	for _, h := range r.ResponseHeaders {
		if !h.OnlyTLS {
			out = append(out, h)
		}
	}
	if _, forwards := r.Action.(*model.Forward); forwards && r.HSTS != nil && r.HSTS.Plain {
		out = append(out, model.HeaderChange{Name: "Strict-Transport-Security", Value: r.HSTS.String(), Origin: r.HSTS.Origin})
	}
	slices.SortFunc(out, func(a, b model.HeaderChange) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// groups are the hosts of a table by their settings, and the exact hosts that stand apart from a wildcard's.
func (r *connectionResolver) groups(t model.Table) ([]model.TLSGroup, []model.Host) {
	byName := map[string]*model.TLSGroup{}
	var wildcards, apart []model.Host
	for _, h := range slices.Concat(t.Wildcard, t.Exact) {
		held := r.hosts[h.Host]
		if held.holder == nil {
			if i := slices.IndexFunc(wildcards, func(w model.Host) bool { return w.Covers(h.Host) }); i >= 0 {
				apart = append(apart, h.Host)
				r.standsApart(h, wildcards[i])
			}
			continue
		}
		if h.Host.Kind() == model.HostWildcard {
			wildcards = append(wildcards, h.Host)
		}
		g := byName[held.settings.name()]
		if g == nil {
			g = &model.TLSGroup{Name: held.settings.name(), MinVersion: held.settings.minVersion}
			if ca := held.settings.clientCA; ca.Name != "" {
				g.ClientCA = ca.String()
			}
			byName[g.Name] = g
		}
		g.Hosts = append(g.Hosts, h.Host)
		g.Origins = append(g.Origins, held.origins()...)
	}
	var out []model.TLSGroup
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		g := *byName[name]
		slices.SortFunc(g.Hosts, model.Host.Compare)
		slices.SortFunc(g.Origins, diag.Origin.Compare)
		g.Origins = slices.Compact(g.Origins)
		out = append(out, g)
	}
	return out, apart
}

// standsApart tells a host without settings of the wildcard to which its requests do not go on.
func (r *connectionResolver) standsApart(h model.HostRoutes, wildcard model.Host) {
	if r.hosts[h.Host].closed != nil {
		return
	}
	held := r.hosts[wildcard]
	r.say(diag.New(diag.CodeTLSShared, h.Routes[0].Origins[0], fmt.Sprintf("%s has TLS settings, of %s, and %s has none", wildcard, held.by(), h.Host),
		fmt.Sprintf("over HTTPS, requests for %s do not go on to the rules of %s: where those match, it answers 421", h.Host, wildcard),
		"give the host the same settings if they should").With(held.origins()...))
}

// clientCAs are those that groups name, sorted.
func (r *connectionResolver) clientCAs(groups []model.TLSGroup) []model.ClientCA {
	out := map[string]model.ClientCA{}
	for _, g := range groups {
		for _, host := range g.Hosts {
			if key := r.hosts[host].settings.clientCA; key.Name != "" {
				out[g.ClientCA] = model.ClientCA{Name: g.ClientCA, Bundle: r.bundles[key].bundle, Origins: model.Origins{r.bundles[key].origin}}
			}
		}
	}
	return slices.SortedFunc(maps.Values(out), func(a, b model.ClientCA) int { return cmp.Compare(a.Name, b.Name) })
}
