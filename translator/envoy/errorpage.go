package envoy

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/model"
)

// sendErrorPages has two scripts replace the answers of a route, the gateway's own too, one after the other.
func sendErrorPages(r *routev3.Route, pages []model.ErrorPage) {
	var list []*structpb.Value
	for _, p := range pages {
		for _, s := range p.Statuses {
			list = append(list, structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
				"from": structpb.NewNumberValue(float64(s.From)), "to": structpb.NewNumberValue(float64(s.To)),
				"cluster": structpb.NewStringValue(p.Backend), "host": structpb.NewStringValue(p.Host), "path": structpb.NewStringValue(p.Path),
			}}))
		}
	}
	context := map[string]*structpb.Value{"pages": structpb.NewListValue(&structpb.ListValue{Values: list})}
	switchOn(r, errorPagesFilterName, runScript(ErrorPagesScript, context))
	switchOn(r, errorBodyFilterName, runScript(ErrorBodyScript, context))
}
