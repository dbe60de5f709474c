package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
)

const (
	// demoToken is the bearer token that logs in. It is public and guards nothing.
	demoToken = "postern-demo-token"

	// jweTokenName is the header, and the cookie, by which the Kubernetes
	// dashboard's page says that it is logged in.
	jweTokenName = "jweToken"

	// csrfHeader carries the token of api/v1/csrftoken/login back to api/v1/login.
	csrfHeader = "X-CSRF-TOKEN"

	// loginBodyBytesMax bounds the body of a login.
	loginBodyBytesMax = 64 << 10
)

// dashboard answers as the Kubernetes dashboard does where a gateway could
// tell the difference. Its fields do not change after newDashboard.
type dashboard struct {
	csrfToken string
	jweToken  string // what a login hands out; opaque to the page
}

func newDashboard() http.Handler {
	d := &dashboard{csrfToken: rand.Text(), jweToken: rand.Text()}
	mux := http.NewServeMux()
	serveAssets(mux, "dashboard", []asset{
		{"style.css", typeCSS},
		{"app.js", typeJS},
		{"assets/logo.svg", typeSVG},
	})
	mux.HandleFunc("GET /{$}", d.index)
	mux.HandleFunc("GET /api/v1/csrftoken/login", d.csrf)
	mux.HandleFunc("POST /api/v1/login", d.login)
	mux.HandleFunc("GET /api/v1/login/status", d.status)
	mux.HandleFunc("GET /api/v1/namespace", d.namespaces)
	mux.HandleFunc("GET /api/v1/request", d.request)
	mux.HandleFunc("GET /cookies", d.cookies)
	mux.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/", http.StatusFound)
	})
	mux.HandleFunc("/absolute", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+"/", http.StatusFound)
	})
	return withoutSniffing(mux)
}

// index is the page, with a cookie for the whole site: a gateway that strips a
// prefix has to put the prefix before its path.
func (d *dashboard) index(w http.ResponseWriter, _ *http.Request) {
	body, err := pages.ReadFile("dashboard/index.html")
	if err != nil {
		panic(err) // the file is compiled in
	}
	http.SetCookie(w, &http.Cookie{Name: "lang", Value: "en", Path: "/", SameSite: http.SameSiteLaxMode})
	w.Header().Set("Content-Type", typeHTML)
	w.Write(body)
}

func (d *dashboard) csrf(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"token": d.csrfToken})
}

// login hands out the jweToken and keeps nothing: the page stores the token.
func (d *dashboard) login(w http.ResponseWriter, r *http.Request) {
	if !equal(r.Header.Get(csrfHeader), d.csrfToken) {
		writeError(w, http.StatusForbidden, "the header "+csrfHeader+" is missing or wrong")
		return
	}
	var body struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, loginBodyBytesMax)).Decode(&body); err != nil {
		writeError(w, http.StatusBadRequest, "the body is not JSON with a token")
		return
	}
	if !equal(body.Token, demoToken) {
		writeError(w, http.StatusUnauthorized, "unknown token")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"jweToken": d.jweToken, "errors": []string{}})
}

// status says by which ways a valid jweToken came with this very request.
func (d *dashboard) status(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(jweTokenName)
	writeJSON(w, http.StatusOK, map[string]bool{
		"tokenPresent":  err == nil && equal(cookie.Value, d.jweToken),
		"headerPresent": d.loggedIn(r),
		"httpsMode":     r.TLS != nil,
	})
}

// namespaces is the one thing that only who is logged in may see.
func (d *dashboard) namespaces(w http.ResponseWriter, r *http.Request) {
	if !d.loggedIn(r) {
		writeError(w, http.StatusUnauthorized, "the header "+jweTokenName+" is missing or wrong")
		return
	}
	writeJSON(w, http.StatusOK, map[string][]string{
		"namespaces": {"default", "kube-system", "kubernetes-dashboard"},
	})
}

// loggedIn looks at the header alone: a cookie is sent by itself, also with a
// request that another site made, so the Kubernetes dashboard does not trust it.
func (d *dashboard) loggedIn(r *http.Request) bool {
	return equal(r.Header.Get(jweTokenName), d.jweToken)
}

// forwardedHeaders are the headers by which a gateway tells of the client.
var forwardedHeaders = []string{
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
	"X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Real-Ip",
}

// request tells what arrived here, to show what the gateway made of it.
func (d *dashboard) request(w http.ResponseWriter, r *http.Request) {
	seen := struct {
		Method     string              `json:"method"`
		URI        string              `json:"uri"`
		Host       string              `json:"host"`
		Protocol   string              `json:"protocol"`
		ServerName string              `json:"serverName"` // SNI of the connection
		Headers    map[string][]string `json:"headers"`    // forwardedHeaders only
	}{
		Method: r.Method, URI: r.RequestURI, Host: r.Host, Protocol: r.Proto,
		Headers: map[string][]string{},
	}
	if r.TLS != nil {
		seen.ServerName = r.TLS.ServerName
	}
	for _, name := range forwardedHeaders {
		if values := r.Header.Values(name); len(values) > 0 {
			seen.Headers[name] = values
		}
	}
	writeJSON(w, http.StatusOK, seen)
}

// cookies sets one cookie for each way that a path can be given.
func (d *dashboard) cookies(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "root", Value: "1", Path: "/"})
	http.SetCookie(w, &http.Cookie{Name: "settings", Value: "1", Path: "/settings"})
	http.SetCookie(w, &http.Cookie{Name: "nopath", Value: "1"})
	w.WriteHeader(http.StatusNoContent)
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"error": message})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // value is ours, and has no channel or function in it
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func equal(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
