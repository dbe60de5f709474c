package laws

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
)

// pathMax is the longest path that a rule may have (translator/dialect).
const pathMax = 512

// TestEnvoyTakesTheLongestClosedPath: the regex for every spelling of a closed path is within Envoy's limit, whatever the
// path is made of.
func TestEnvoyTakesTheLongestClosedPath(t *testing.T) {
	binary := live.NeedEnvoy(t)
	var table model.Table
	table.Entry = model.Entry{Name: "http", Address: netip.MustParseAddrPort("127.0.0.1:80")}
	for _, element := range []string{"/+", "/;", "/a", "/++", "/%C3%AF", "/%25", "/aaaaaaaa"} {
		path := strings.Repeat(element, pathMax/len(element))
		for _, kind := range []model.PathKind{model.PathExact, model.PathPrefix, model.PathStringPrefix} {
			table.Any = append(table.Any, model.Route{
				Path: model.PathMatch{Kind: kind, Value: path}, Action: &model.Closed{}, Origins: model.Origins{{Kind: "Ingress"}},
			})
		}
	}
	for _, slashes := range []model.EscapedSlashes{model.SlashesRedirect, model.SlashesKeep} {
		g := model.Gateway{Edge: model.Edge{EscapedSlashes: slashes}, Tables: []model.Table{table}}
		if words := refusal(t, binary, []world{{name: slashes.String(), result: translator.Result{Gateway: g, Resources: envoy.Render(g)}}}); words != "" {
			t.Errorf("--escaped-slashes=%s: Envoy refuses:\n%.2000s", slashes, words)
		}
	}
}
