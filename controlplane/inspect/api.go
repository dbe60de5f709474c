package inspect

import (
	"encoding/json"
	"net/http"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// apiPages are what programs ask for: postern snapshot, explain and diff among them. docs/operate/inspect.md describes each.
func apiPages() []page {
	return []page{
		{pattern: "/resources", template: "resources", data: serveResources, view: resourcesView},
		{pattern: "/resources/{type}", data: serveResourceList},
		{pattern: "/resources/{type}/{name...}", data: serveResource},
		{pattern: "/proxies", template: "proxies", data: serveProxies, view: proxiesView},
		{pattern: "/proxies/{node...}", data: serveProxy},
		{pattern: "/explain", template: "explain", data: serveExplain, view: explainView},
		{pattern: "/model", data: serveModel},
	}
}

// Patterns are the addresses of all pages, as net/http's ServeMux has them.
func Patterns() []string {
	var out []string
	for _, p := range pages() {
		out = append(out, p.pattern)
	}
	return out
}

// serveExplain asks about the request in the query.
func serveExplain(v View, r *http.Request) (any, error) {
	query := r.URL.Query()
	query.Del("format")
	request, err := explain.ParseQuery(query)
	if err != nil {
		return nil, badRequest{err}
	}
	follow, err := explain.Follows(query)
	if err != nil {
		return nil, badRequest{err}
	}
	request.At = v.Now
	if follow {
		journey, err := explain.Follow(v.Result.Gateway, v.Result.Diagnostics, request)
		if err != nil {
			return nil, badRequest{err}
		}
		return journey, nil
	}
	story, err := explain.Explain(v.Result.Gateway, v.Result.Diagnostics, request)
	if err != nil {
		return nil, badRequest{err}
	}
	return story, nil
}

// serveModel is the whole model without its secrets, as postern diff compares it.
func serveModel(v View, _ *http.Request) (any, error) {
	return json.RawMessage(model.Encode(v.Result.Gateway)), nil
}
