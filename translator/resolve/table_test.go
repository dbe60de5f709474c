package resolve

import (
	"testing"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

func TestOtherSpellingsAreClosed(t *testing.T) {
	at := model.Origins{{Kind: "Ingress", Name: "x"}}
	by := model.Origins{{Kind: "Ingress", Name: "x", Annotation: "whitelist-source-range"}}
	for _, row := range []struct {
		name   string
		route  model.Route
		closed bool
	}{
		{"restricted", model.Route{Path: model.Prefix("/a"), Action: &model.Forward{}, RoutePolicies: model.RoutePolicies{Restricted: by}, Origins: at}, true},
		{"the exact root", model.Route{Path: model.PathMatch{Kind: model.PathExact, Value: "/"}, Action: &model.Forward{}, RoutePolicies: model.RoutePolicies{Restricted: by}, Origins: at}, true},
		{"everything", model.Route{Path: model.Prefix("/"), Action: &model.Forward{}, RoutePolicies: model.RoutePolicies{Restricted: by}, Origins: at}, false},
		{"open", model.Route{Path: model.Prefix("/a"), Action: &model.Forward{}, Origins: at}, false},
		{"closed already", model.Route{Path: model.Prefix("/a"), Action: &model.Closed{}, RoutePolicies: model.RoutePolicies{Restricted: by}, Origins: at}, false},
	} {
		out := otherSpellings(row.route)
		if (len(out) == 1) != row.closed {
			t.Errorf("%s: %d routes behind it", row.name, len(out))
			continue
		}
		if !row.closed {
			continue
		}
		c, ok := out[0].Action.(*model.Closed)
		if !ok || c.Code != diag.CodeOtherSpelling || c.Origin != by[0] || out[0].Path != row.route.Path || out[0].Access != nil || out[0].HTTPSRedirect != nil {
			t.Errorf("%s: %+v", row.name, out[0])
		}
	}
}
