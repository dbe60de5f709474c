package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

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
		{pattern: replicaPath, data: serveReplica},
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

// question is what explain is asked: the query, and what came beside it.
func question(r *http.Request) (url.Values, error) {
	q := r.URL.Query()
	q.Del("format")
	for _, text := range r.Header.Values(explain.PrivateHeader) {
		private, err := url.ParseQuery(text)
		if err != nil {
			return nil, fmt.Errorf("%s is not written as a query", explain.PrivateHeader)
		}
		for key, values := range private {
			q[key] = append(q[key], values...)
		}
	}
	return q, nil
}

// serveExplain asks about the request in the query.
func serveExplain(v View, r *http.Request) (any, error) {
	query, err := question(r)
	if err != nil {
		return nil, badRequest{err}
	}
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
