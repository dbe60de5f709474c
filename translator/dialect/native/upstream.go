package native

import (
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

// upstream is how backends are spoken to over TLS: on a Service for all routes to it, on an Ingress for its own, whose
// word counts first, key by key.
var upstream = onBoth(
	dialect.Annotation{
		Key: "upstream-ca-secret", Type: "name of a Secret", Protects: true,
		Family: "upstream TLS", Case: "upstream/ca",
		Doc:     "The Secret of this namespace whose ca.crt holds the CAs that the backend's certificate must chain to, in place of --upstream-ca and the system's.",
		Example: "backend-ca",
	},
	dialect.Annotation{
		Key: "upstream-ca-configmap", Type: "name of a ConfigMap", Protects: true,
		Family: "upstream TLS", Case: "upstream/ca",
		Doc:     "The same from a ConfigMap. One of the two may be given.",
		Example: "backend-ca",
	},
	dialect.Annotation{
		Key: "upstream-client-secret", Type: "name of a Secret", Protects: true,
		Family: "upstream TLS", Case: "upstream/client",
		Doc:     "The Secret of this namespace with the client certificate, tls.crt and tls.key, that Postern shows to the backend.",
		Example: "gateway-client",
	},
	dialect.Annotation{
		Key: "upstream-tls-min-version", Type: versionForms, Protects: true,
		Family: "upstream TLS", Case: "upstream/version",
		Doc:     "The lowest version of TLS that is spoken to the backend; without it 1.2.",
		Example: "1.3",
	},
	dialect.Annotation{
		Key: "upstream-tls-name", Type: "DNS name", Protects: true,
		Family: "upstream TLS", Case: "upstream/name",
		Doc:     "The name that the backend's certificate must carry, sent as SNI too. Without it: the ExternalName's target, else SERVICE.NAMESPACE.svc with or without the cluster domain.",
		Example: "backend.example.com",
	},
	dialect.Annotation{
		Key: "upstream-insecure-skip-verify", Type: "true or false",
		Family: "upstream TLS", Case: "upstream/skip",
		Doc:     "Whether any certificate of the backend is accepted. Beside a CA it has no effect.",
		Example: "true",
	},
)

const versionForms = "1.2 or 1.3"

// onBoth makes entries for the Ingress and for the Service.
func onBoth(entries ...dialect.Annotation) []dialect.Annotation {
	var out []dialect.Annotation
	for _, e := range entries {
		e.Support = dialect.Applied
		for _, kind := range []dialect.Kind{dialect.OnIngress, dialect.OnService} {
			e.On = kind
			out = append(out, e)
		}
	}
	return out
}

func annotateUpstream(r *dialect.Reader, shape dialect.Shape) dialect.Shape {
	shape.Policies.UpstreamTLS = readUpstream(r)
	shape.Annotations = append(shape.Annotations, shape.Policies.UpstreamTLS.Origins()...)
	return shape
}

func serviceUpstream(r *dialect.Reader, traits model.ServiceTraits) model.ServiceTraits {
	traits.UpstreamTLS = readUpstream(r)
	return traits
}

func readUpstream(r *dialect.Reader) model.UpstreamTLSClaim {
	u := upstreamReader{Reader: r}
	u.claim.CA = u.authority()
	u.claim.Client = u.object("upstream-client-secret", "the name of a Secret")
	u.claim.MinVersion = u.minVersion()
	u.claim.Name = u.serverName()
	u.claim.SkipVerify = u.skipVerify()
	return u.claim
}

// upstreamReader closes, for a value that it cannot read, the routes over TLS and no others.
type upstreamReader struct {
	*dialect.Reader
	claim model.UpstreamTLSClaim
}

func (u *upstreamReader) refuse(at diag.Origin, message, fix string, others ...diag.Origin) {
	d := diag.New(diag.CodeUpstreamTLS, at, message, "its routes over TLS to backends answer 503", fix).With(others...)
	u.Say(d)
	if u.claim.Closed == nil {
		u.claim.Closed = &model.Closed{Reason: d.Message, Code: d.Code, Origin: d.Origin}
	}
}

func (u *upstreamReader) authority() *model.Word[model.Reference] {
	secret := u.object("upstream-ca-secret", "the name of a Secret")
	configMap := u.object("upstream-ca-configmap", "the name of a ConfigMap")
	switch {
	case secret != nil && configMap != nil:
		u.refuse(configMap.Origin, "upstream-ca-secret and upstream-ca-configmap are both given", "keep one of the two", secret.Origin)
	case secret != nil:
		return &model.Word[model.Reference]{Value: model.Reference{Kind: model.KindSecret, Name: secret.Value}, Origin: secret.Origin}
	case configMap != nil:
		return &model.Word[model.Reference]{Value: model.Reference{Kind: model.KindConfigMap, Name: configMap.Value}, Origin: configMap.Origin}
	}
	return nil
}

// object reads the name of an object of the same namespace.
func (u *upstreamReader) object(key, what string) *model.Word[string] {
	text, at, ok := u.Value(key)
	if !ok {
		return nil
	}
	if len(validation.IsDNS1123Subdomain(text)) > 0 {
		u.refuse(at, strconv.Quote(text)+" is not "+what, "write its name alone; it is looked up in this namespace")
		return nil
	}
	return &model.Word[string]{Value: text, Origin: at}
}

func (u *upstreamReader) minVersion() *model.Word[model.TLSVersion] {
	text, at, ok := u.Value("upstream-tls-min-version")
	if !ok {
		return nil
	}
	version := model.TLSVersion(text)
	if version != model.TLS12 && version != model.TLS13 {
		u.refuse(at, strconv.Quote(text)+" is not a version of TLS that can be the lowest", "write "+versionForms)
		return nil
	}
	return &model.Word[model.TLSVersion]{Value: version, Origin: at}
}

// serverName admits no address: a certificate is verified by name, and an address is no SNI (RFC 6066, 3).
func (u *upstreamReader) serverName() *model.Word[string] {
	text, at, ok := u.Value("upstream-tls-name")
	if !ok {
		return nil
	}
	host, err := model.ParseHost(text)
	_, notAddress := netip.ParseAddr(strings.Trim(host.Name(), "[]"))
	if err != nil || host.Kind() != model.HostExact || notAddress == nil {
		u.refuse(at, strconv.Quote(text)+" is not a DNS name", "write a DNS name, without star or port")
		return nil
	}
	return &model.Word[string]{Value: host.Name(), Origin: at}
}

// skipVerify reads what is neither true nor false as false.
func (u *upstreamReader) skipVerify() *model.Word[bool] {
	text, at, ok := u.Value("upstream-insecure-skip-verify")
	if !ok {
		return nil
	}
	skip, err := strconv.ParseBool(text)
	if err != nil {
		u.Say(diag.New(diag.CodeUpstreamTLS, at, strconv.Quote(text)+" is not true or false", "the backend's certificate is verified", "write true or false"))
	}
	return &model.Word[bool]{Value: err == nil && skip, Origin: at}
}
