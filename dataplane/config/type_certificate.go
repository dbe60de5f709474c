package config

import (
	"slices"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Certificate is the filter context of client-certificate-v1: what of a client's certificate the backend is told.
type Certificate struct {
	PEM, Infos                bool
	NotBefore, NotAfter, SANs bool
	Subject, Issuer           []string
}

// nameAttributes are what may be asked of a distinguished name.
var nameAttributes = []string{"DC", "C", "ST", "L", "O", "SN", "CN"}

func decodeCertificate(out *Filters, body *anypb.Any, at string) error {
	context, at, err := runScript(CertificateScript, body, at)
	if err != nil {
		return err
	}
	c := &Certificate{}
	known := 0
	flag := func(name string) bool {
		_, is := context[name].GetKind().(*structpb.Value_BoolValue)
		if is {
			known++
		}
		return context[name].GetBoolValue()
	}
	valid := true
	list := func(name string) []string {
		var items []string
		for _, v := range context[name].GetListValue().GetValues() {
			items = append(items, v.GetStringValue())
			valid = valid && slices.Contains(nameAttributes, v.GetStringValue())
		}
		if items != nil {
			known++
		}
		return items
	}
	c.PEM, c.Infos, c.NotBefore, c.NotAfter, c.SANs = flag("pem"), flag("infos"), flag("notbefore"), flag("notafter"), flag("sans")
	c.Subject, c.Issuer = list("subject"), list("issuer")
	if known != len(context) || !valid {
		return only(at, "filter_context", "pem, infos, notbefore, notafter, sans, and subject and issuer with DC, C, ST, L, O, SN, CN,")
	}
	out.Certificate = c
	return nil
}
