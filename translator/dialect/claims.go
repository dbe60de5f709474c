package dialect

import (
	"cmp"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Settings are what a dialect knows of the gateway.
type Settings struct {
	// Entries are the names of the open entries.
	Entries []string
	// StringPrefix has Traefik's PathPrefix end anywhere in the path, as 1.7 did.
	StringPrefix bool
}

// Shape is what an Ingress's annotations make of all its rules.
type Shape struct {
	// Entries, Priority, Policies and Closed are as in model.Claim.
	Entries  []string
	Priority int
	Policies model.Policies
	Closed   *model.Closed
	// SharesPaths has several backends on one path share its requests, as in Traefik 1.7; else they are a conflict.
	SharesPaths bool
	// Weights are the parts of the requests that backends on one path get; nil is an even share.
	Weights *Weights
	// AtRoot are the policies of rules whose path is / or empty, made of those of the others; nil where they are the same.
	AtRoot func(model.Policies) model.Policies
	// PoolPrefix is what Traefik 1.7 put before host and path in the name of a path's backend.
	PoolPrefix string
	// HostAnnotation is as in model.Claim.
	HostAnnotation string
	// Annotations are the places of the annotations that shaped the rules.
	Annotations []diag.Origin
	// Annotated is what became of all annotations that were read.
	Annotated []diag.Annotation
	// Path reads the path of one rule, which may stand for several.
	Path func(p networkingv1.HTTPIngressPath, at diag.Origin) ([]PathClaim, []diag.D)
}

// PathClaim is one path of a rule as the dialect reads it.
type PathClaim struct {
	Match model.PathMatch
	// RuleType is Traefik's name for the kind of match, or the nearest to it; it counts for the rule's length.
	RuleType string
	// RuleTail is what stands behind the path in Traefik's rule, and counts for its length too.
	RuleTail string
	// StandIn marks what is closed in place of a path that cannot be matched itself; see model.Claim.
	StandIn bool
	Strip   *model.Strip
	// Replace is the path that the backend sees in place of any; empty for none.
	Replace string
	// ReplaceOrigin is the annotation that asks for Replace.
	ReplaceOrigin diag.Origin
	// Rewrite is as in model.RoutePolicies.
	Rewrite model.Rewrite
	Closed  *model.Closed
}

// Reading is what one Ingress asks for.
type Reading struct {
	Claims      []model.Claim
	TLS         []model.TLSClaim
	Diagnostics []diag.D
	Annotated   []diag.Annotation
}

// Claims makes the claims of an Ingress of the shape that its annotations gave.
func Claims(ing source.Ingress, shape Shape) Reading {
	b := builder{ing: ing, shape: shape, paths: map[writtenPath]int{}, out: Reading{Annotated: shape.Annotated}}
	if len(ing.Spec.Rules) == 0 && ing.Spec.DefaultBackend == nil {
		b.say(diag.New(diag.CodeNoBackend, ing.Origin("spec"), "the Ingress has neither rules nor a default backend", "it serves nothing",
			"give it rules").At(diag.Warning))
	}
	for i, rule := range ing.Spec.Rules {
		b.rule(i, rule)
	}
	b.weigh()
	if ing.Spec.DefaultBackend != nil {
		b.defaultBackend(ing.Spec.DefaultBackend)
	}
	for i, tls := range ing.Spec.TLS {
		b.tls(i, tls)
	}
	return b.out
}

type builder struct {
	ing   source.Ingress
	shape Shape
	// paths are the claims so far that further backends on their path would share, by index.
	paths map[writtenPath]int
	out   Reading
}

// writtenPath is a path of a rule: what it matches, and how it is written. Traefik 1.7 pooled by the latter
// (provider/kubernetes/kubernetes.go, loadIngresses: baseName).
type writtenPath struct {
	host  model.Host
	match model.PathMatch
	text  string
}

func (b *builder) say(ds ...diag.D) { b.out.Diagnostics = append(b.out.Diagnostics, ds...) }

func (b *builder) id() model.ObjectID {
	return model.ObjectID{
		Cluster: b.ing.Cluster, Namespace: b.ing.Namespace, Name: b.ing.Name,
		Created: b.ing.CreationTimestamp.Time,
	}
}

func (b *builder) rule(i int, rule networkingv1.IngressRule) {
	field := fmt.Sprintf("spec.rules[%d]", i)
	host, err := model.ParseHost(rule.Host)
	if err != nil {
		b.say(diag.New(diag.CodeBadHost, b.ing.Origin(field+".host"), err.Error(),
			"the rule is dropped", "write a DNS name, *. and a DNS name, or no host"))
		return
	}
	if rule.HTTP == nil || len(rule.HTTP.Paths) == 0 {
		b.hostOnly(host, field)
		return
	}
	for j, path := range rule.HTTP.Paths {
		at := b.ing.Origin(fmt.Sprintf("%s.http.paths[%d]", field, j))
		readings, ds := b.shape.Path(path, at)
		b.say(ds...)
		backend := b.backend(path.Backend, at)
		for _, r := range readings {
			written := writtenPath{host, r.Match, path.Path}
			if i, shared := b.paths[written]; shared && b.shape.SharesPaths {
				b.join(i, backend)
				continue
			}
			b.paths[written] = len(b.out.Claims)
			b.claim(host, r, backend, path.Path)
		}
	}
}

// join adds a backend to those that share a claim.
func (b *builder) join(claim int, backend model.BackendRef) {
	c := &b.out.Claims[claim]
	c.Origins = slices.Insert(c.Origins, len(c.Backends), backend.Origin)
	c.Backends = append(c.Backends, backend)
}

// hostOnly claims a host without paths: its requests go to the Ingress's default backend (networking/v1,
// IngressRuleValue).
func (b *builder) hostOnly(host model.Host, field string) {
	at := b.ing.Origin(field)
	if b.ing.Spec.DefaultBackend == nil {
		b.say(diag.New(diag.CodeNoBackend, at, "the rule has no path, and the Ingress no default backend", "the rule serves nothing",
			"give it a path").At(diag.Warning))
		return
	}
	b.claim(host, PathClaim{Match: model.Prefix("/")}, b.backend(*b.ing.Spec.DefaultBackend, at), "")
}

// claim adds the claim of one path to the host; path is as the rule has it.
func (b *builder) claim(host model.Host, r PathClaim, backend model.BackendRef, path string) {
	c := model.Claim{
		Object: b.id(), Index: len(b.out.Claims), Entries: b.shape.Entries, Host: host, Path: r.Match, StandIn: r.StandIn,
		Priority: b.shape.Priority, RuleLength: ruleLength(host, r.RuleType, path) + len(r.RuleTail),
		Backends: []model.BackendRef{backend}, Policies: b.shape.Policies, HostAnnotation: b.shape.HostAnnotation,
		Closed:  cmp.Or(b.shape.Closed, r.Closed),
		Origins: append(model.Origins{backend.Origin}, b.shape.Annotations...),
	}
	if b.shape.AtRoot != nil && (path == "" || path == "/") {
		c.Policies = b.shape.AtRoot(c.Policies)
	}
	c.Policies.Strip, c.Policies.Rewrite = r.Strip, r.Rewrite
	c.Policies.ReplacePath, c.Policies.ReplacePathOrigin = r.Replace, r.ReplaceOrigin
	if c.PoolName = b.shape.PoolPrefix + host.String() + path; host == model.AnyHost {
		c.PoolName = b.shape.PoolPrefix + cmp.Or(path, backend.Service)
	}
	b.out.Claims = append(b.out.Claims, c)
}

// defaultPool is the name that Traefik 1.7 gave the backend of a default backend.
const defaultPool = "global-default-backend"

// backend reads a backend; one that names no Service is closed. No backend has more weight than another.
func (b *builder) backend(backend networkingv1.IngressBackend, at diag.Origin) model.BackendRef {
	ref := model.BackendRef{Namespace: b.ing.Namespace, Weight: 1, Origin: at}
	service := backend.Service
	if service == nil || service.Name == "" {
		message := "the backend names no Service"
		if r := backend.Resource; r != nil {
			message = fmt.Sprintf("the backend is the %s %s and no Service", r.Kind, r.Name)
		}
		b.say(diag.New(diag.CodeNoBackend, at, message, "its requests answer 503", "name a Service and its port"))
		ref.Closed = &model.Closed{Reason: message, Code: diag.CodeNoBackend, Origin: at}
		return ref
	}
	ref.Service, ref.Port = service.Name, model.PortRef{Number: service.Port.Number, Name: service.Port.Name}
	return ref
}

func (b *builder) defaultBackend(backend *networkingv1.IngressBackend) {
	at := b.ing.Origin("spec.defaultBackend")
	c := model.Claim{
		Object: b.id(), Index: len(b.out.Claims), Entries: b.shape.Entries, Host: model.AnyHost, Path: model.Prefix("/"),
		Rank: model.RankDefault, Backends: []model.BackendRef{b.backend(*backend, at)}, Policies: b.shape.Policies,
		HostAnnotation: b.shape.HostAnnotation, Closed: b.shape.Closed, PoolName: defaultPool,
		Origins: append(model.Origins{at}, b.shape.Annotations...),
	}
	b.out.Claims = append(b.out.Claims, c)
}

func (b *builder) tls(i int, tls networkingv1.IngressTLS) {
	field := fmt.Sprintf("spec.tls[%d]", i)
	claim := model.TLSClaim{Object: b.id(), SecretName: tls.SecretName, Origin: b.ing.Origin(field)}
	for j, name := range tls.Hosts {
		host, err := model.ParseHost(name)
		if err == nil && host == model.AnyHost {
			err = fmt.Errorf("%q is not a host that a certificate can be for", name)
		}
		if err != nil {
			b.say(diag.New(diag.CodeBadHost, b.ing.Origin(fmt.Sprintf("%s.hosts[%d]", field, j)), err.Error(),
				"the host gets no certificate of its own", "write a DNS name or *. and a DNS name; --default-tls-secret is for the rest"))
			continue
		}
		if host.IsAddress() {
			b.say(diag.New(diag.CodeAddressInTLS, b.ing.Origin(fmt.Sprintf("%s.hosts[%d]", field, j)),
				"clients send no server name for the address "+host.Name(), "it gets the default certificate",
				"--default-tls-secret is what connections to addresses are served with"))
			continue
		}
		claim.Hosts = append(claim.Hosts, host)
	}
	if tls.SecretName == "" {
		// Kubernetes: without a Secret the connection is terminated with whatever certificate the gateway has.
		return
	}
	if len(tls.Hosts) > 0 && len(claim.Hosts) == 0 {
		return
	}
	b.out.TLS = append(b.out.TLS, claim)
}

// ruleLength is the length of the rule string that Traefik 1.7 would have built (provider/kubernetes/kubernetes.go,
// getRuleForHost and getRuleForPath); its rules are ordered by it.
func ruleLength(host model.Host, ruleType, path string) int {
	rule := ""
	switch host.Kind() {
	case model.HostExact:
		rule = "Host:" + host.Name()
	case model.HostWildcard:
		rule = "HostRegexp:{subdomain:[A-Za-z0-9-_]+}" + host.Suffix()
	case model.HostAny:
	}
	if path == "" {
		return len(rule)
	}
	if rule != "" {
		rule += ";"
	}
	return len(rule + ruleType + ":" + path)
}
