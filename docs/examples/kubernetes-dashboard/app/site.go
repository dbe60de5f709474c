package main

import (
	"embed"
	"net/http"
)

// pages holds the files of the sites, each in its own folder.
//
//go:embed dashboard about catalog
var pages embed.FS

// asset is one file of a site and the type it is served with. The types are
// written down here because the mime package asks the machine for them, and a
// browser told nosniff drops a style sheet with any other type.
type asset struct {
	path, contentType string
}

const (
	typeHTML = "text/html; charset=utf-8"
	typeCSS  = "text/css; charset=utf-8"
	typeJS   = "text/javascript; charset=utf-8"
	typeSVG  = "image/svg+xml"
	typeJSON = "application/json"
)

// serveAssets adds the files of a folder to mux, and makes all other paths 404.
func serveAssets(mux *http.ServeMux, folder string, assets []asset) {
	for _, a := range assets {
		body, err := pages.ReadFile(folder + "/" + a.path)
		if err != nil {
			panic(err) // the file is compiled in: the list of assets is wrong
		}
		pattern := "GET /" + a.path
		if a.path == "index.html" {
			pattern = "GET /{$}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", a.contentType)
			w.Write(body)
		})
	}
	// http.NotFound answers text/plain: a page that asks for its style sheet
	// in the wrong place gets a type that it must refuse.
	mux.HandleFunc("/", http.NotFound)
}

// withoutSniffing forbids browsers to guess types, as the Kubernetes dashboard does.
func withoutSniffing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// newAbout is the site that stands in for Traefik's own dashboard: one page
// about this demo.
func newAbout() http.Handler {
	mux := http.NewServeMux()
	serveAssets(mux, "about", []asset{
		{"index.html", typeHTML},
		{"style.css", typeCSS},
	})
	return withoutSniffing(mux)
}

// newCatalog is the site that stands in for monocular: a page that says
// <base href="/">, served for every path of the application.
func newCatalog() http.Handler {
	mux := http.NewServeMux()
	serveAssets(mux, "catalog", []asset{
		{"index.html", typeHTML},
		{"style.css", typeCSS},
		{"app.js", typeJS},
		{"icon.svg", typeSVG},
	})
	mux.HandleFunc("GET /chart/{name}", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/"
		mux.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /api/charts", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string][]string{"charts": {"mariadb", "postgresql", "redis"}})
	})
	return withoutSniffing(mux)
}
