package traefik

import (
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

const certificatesFamily = "client certificates"

var clientCertificates = []dialect.Annotation{
	{
		Key: "pass-client-tls-cert", On: dialect.OnIngress, Family: certificatesFamily, Case: "client-certificate/pass",
		Type: "YAML: pem, and infos with notafter, notbefore, sans, subject and issuer", Support: dialect.Approximated,
		Note: "A certificate is there only where connections are asked for one: see postern.dev/client-ca-secret. An Infos header without content is not sent. " +
			"URIs among the names are passed as the certificate has them.",
		Doc: "Tells the backend of the client's certificate: pem in X-Forwarded-Tls-Client-Cert, infos in X-Forwarded-Tls-Client-Cert-Infos. " +
			"What a client says in these headers never gets through.",
		Example: "{pem: true, infos: {notafter: true, subject: {commonname: true}}}",
	},
	{
		Key: "pass-tls-cert", Aliases: []string{"traefik.frontend.passTLSCert"}, On: dialect.OnIngress, Family: certificatesFamily,
		Case: "client-certificate/bad", Type: "true or false", Support: dialect.Refused,
		Doc: "Shows backends the certificates of Traefik's own entry point.",
		Note: "it would show backends the gateway's own certificates; use postern.dev/upstream-client-secret to show a backend one, or pass-client-tls-cert " +
			"to tell it of the client's",
		Example: "true",
	},
}

// writtenName are the attributes of a distinguished name as the annotation has them.
type writtenName struct {
	DomainComponent bool `yaml:"domaincomponent"`
	Country         bool `yaml:"country"`
	Province        bool `yaml:"province"`
	Locality        bool `yaml:"locality"`
	Organization    bool `yaml:"organization"`
	SerialNumber    bool `yaml:"serialnumber"`
	CommonName      bool `yaml:"commonname"`
}

// attributes are those that are wanted, in the order in which Traefik writes them (middlewares/tlsClientHeaders.go).
func (n writtenName) attributes() []string {
	var out []string
	for _, a := range []struct {
		wanted bool
		name   string
	}{
		{n.DomainComponent, "DC"}, {n.Country, "C"}, {n.Province, "ST"}, {n.Locality, "L"}, {n.Organization, "O"}, {n.SerialNumber, "SN"}, {n.CommonName, "CN"},
	} {
		if a.wanted {
			out = append(out, a.name)
		}
	}
	return out
}

type writtenCertificate struct {
	PEM   bool `yaml:"pem"`
	Infos *struct {
		NotAfter  bool        `yaml:"notafter"`
		NotBefore bool        `yaml:"notbefore"`
		SANs      bool        `yaml:"sans"`
		Subject   writtenName `yaml:"subject"`
		Issuer    writtenName `yaml:"issuer"`
	} `yaml:"infos"`
}

func readClientCertificate(r *dialect.Reader, shape *dialect.Shape) {
	text, at, ok := r.Value("pass-client-tls-cert")
	if !ok {
		return
	}
	// Whatever is wrong with it, a client must not speak for itself.
	passed := &model.PassedCertificate{Origin: at}
	shape.Policies.ClientCertificate = passed
	shape.Annotations = append(shape.Annotations, at)
	var written writtenCertificate
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&written); err != nil && !errors.Is(err, io.EOF) {
		r.Say(diag.New(diag.CodeBadValue, at, "it is not YAML with pem and infos", "backends are not told of the client's certificate",
			"write {pem: true, infos: {notafter: true, notbefore: true, sans: true, subject: {commonname: true}}}"))
		return
	}
	passed.PEM = written.PEM
	if i := written.Infos; i != nil {
		passed.Infos = &model.CertificateInfos{
			NotBefore: i.NotBefore, NotAfter: i.NotAfter, SANs: i.SANs, Subject: i.Subject.attributes(), Issuer: i.Issuer.attributes(),
		}
	}
	if !passed.PEM && passed.Infos == nil {
		r.Say(diag.New(diag.CodeWithoutEffect, at, "neither pem nor infos is asked for", "backends are not told of the client's certificate", "ask for one, or remove it"))
	}
}
