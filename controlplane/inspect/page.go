package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// page is one address: its data are computed from a View alone, and shown as JSON or by a template.
type page struct {
	// pattern is of net/http's ServeMux, without the method.
	pattern string
	// template is the name of the HTML form; empty where there is JSON only.
	template string
	data     func(View, *http.Request) (any, error)
	// view makes what the template shows, where that is other than the data.
	view func(View, *http.Request) (any, error)
	// file writes HTML that is a page by itself, in place of all of these.
	file func(View, io.Writer) error
}

// pages are all addresses, but for those of assets and streams.
func pages() []page {
	return append(apiPages(), webPages()...)
}

// errNotFound is what a page answers where what it is asked for is not there, wrapped in a sentence that says so.
var errNotFound = errors.New("not found")

// unanswered is what a page answers that needs another replica, which does not say anything.
type unanswered struct{ error }

// badRequest is what a page answers to a question that cannot be read; its text is for the asker.
type badRequest struct{ error }

func (i *Inspector) routes() http.Handler { return i.pagesOf(i.viewFor) }

// pagesOf answers every page by what a source of Views has.
func (i *Inspector) pagesOf(source func(*http.Request) (View, bool)) http.Handler {
	mux := http.NewServeMux()
	for _, p := range pages() {
		mux.HandleFunc("GET "+p.pattern, func(w http.ResponseWriter, r *http.Request) { i.serve(w, r, p, source) })
	}
	mux.HandleFunc("GET "+eventsPath, i.events)
	mux.HandleFunc("GET /assets/{file}", serveAsset)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		i.fail(w, r, http.StatusNotFound, fmt.Errorf("there is no page %s%w", r.URL.Path, silent{errNotFound}))
	})
	return mux
}

// serve answers by JSON where it is asked for, by ?format=json or an Accept header without text/html.
func (i *Inspector) serve(w http.ResponseWriter, r *http.Request, p page, source func(*http.Request) (View, bool)) {
	view, ok := source(r)
	if !ok {
		i.fail(w, r, http.StatusServiceUnavailable, errors.New("nothing is served yet"))
		return
	}
	if p.file != nil {
		i.serveFile(w, p, view)
		return
	}
	html := p.template != "" && !wantsJSON(r)
	make := p.data
	if html && p.view != nil {
		make = p.view
	}
	data, err := make(view, r)
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		i.fail(w, r, http.StatusBadRequest, err)
	case errors.Is(err, errNotFound):
		i.fail(w, r, http.StatusNotFound, err)
	case errors.As(err, new(unanswered)):
		i.fail(w, r, http.StatusBadGateway, err)
	case err != nil:
		i.fail(w, r, http.StatusInternalServerError, err)
	case html:
		i.writeHTML(w, r, p, view, data)
	default:
		i.writeJSON(w, http.StatusOK, data)
	}
}

func wantsJSON(r *http.Request) bool {
	if format := r.URL.Query().Get("format"); format != "" {
		return format == "json"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// failure is what JSON answers hold in place of data.
type failure struct {
	Error string `json:"error"`
}

func (i *Inspector) fail(w http.ResponseWriter, r *http.Request, status int, why error) {
	if wantsJSON(r) {
		i.writeJSON(w, status, failure{Error: why.Error()})
		return
	}
	s := newShell(r, "")
	s.Version, s.Data = i.config.Version, failurePage{Status: status, Words: why.Error(), Waiting: status == http.StatusServiceUnavailable}
	i.render(w, status, s)
}

func (i *Inspector) writeJSON(w http.ResponseWriter, status int, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		// A failed write is the asker's loss; what cannot be encoded is ours.
		i.config.Log.Debug("an answer was not written", "error", err)
	}
}
