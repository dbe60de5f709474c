package model

import (
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// StatusRange is the statuses of answers from one to another, both included.
type StatusRange struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// StatusesText is a list of statuses as annotations have it: 500-599,404.
func StatusesText(of []StatusRange) string {
	var out []string
	for _, s := range of {
		text := strconv.Itoa(s.From)
		if s.To != s.From {
			text += "-" + strconv.Itoa(s.To)
		}
		out = append(out, text)
	}
	return strings.Join(out, ",")
}

// StatusPlace stands in the path of an error page for the status of the answer that it replaces.
const StatusPlace = "{status}"

// ErrorPageClaim asks that a backend's page be sent in place of answers with certain statuses, which stay.
type ErrorPageClaim struct {
	// Name is how its author calls it.
	Name     string
	Statuses []StatusRange
	// Backend is as it was written: it names a rule of the namespace, as Traefik 1.7 names backends, or a Service.
	Backend string
	// Path, with its query, is what is asked for. It may hold StatusPlace.
	Path   string
	Origin diag.Origin
}

// ErrorPage is a claimed page whose backend is found.
type ErrorPage struct {
	Statuses []StatusRange
	// Backend is the name of a Backend, Host what it sees as Host.
	Backend, Host string
	// Path is as in ErrorPageClaim.
	Path string
	// Origin is the annotation.
	Origin diag.Origin
}
