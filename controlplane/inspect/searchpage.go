package inspect

import (
	"net/http"
	"net/url"
	"strings"
)

// hit is something that a search finds.
type hit struct {
	Name string `json:"name"`
	Link string `json:"link"`
	// About tells it from others.
	About string `json:"about,omitempty"`
	// Health is nil for what has none; Look says then how it is.
	Health *condition `json:"health,omitempty"`
	Look   look       `json:"-"`
}

// hits are what a search finds of one kind.
type hits struct {
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Total int    `json:"total"`
	Found []hit  `json:"found"`
	// More leads to all of them, where these are the first.
	More string `json:"more,omitempty"`
}

// searchPage is what a text occurs in.
type searchPage struct {
	Text string `json:"q"`
	// Kind, where not empty, is the only kind that was looked for.
	Kind   string  `json:"kind,omitempty"`
	Groups []hits  `json:"groups"`
	Paging *paging `json:"paging,omitempty"`
	Total  int     `json:"total"`
	// Explain leads to what becomes of a request, where the text may be a URL.
	Explain string `json:"explain,omitempty"`
}

func (searchPage) Title() string { return "Search" }

// hitsShown is how many of each kind a search of all kinds shows.
const hitsShown = 8

// finder finds what of one kind a text occurs in.
type finder struct {
	kind, title string
	find        func(View, string) []found
}

// found is a hit whose health is not looked up yet, nil for what has none.
type found struct {
	hit
	health func() condition
}

func finders() []finder {
	return []finder{
		{"hosts", "Hosts", findHosts}, {"paths", "Paths", findPaths}, {"ingresses", "Ingresses", findIngresses},
		{"services", "Services", findServices}, {"certificates", "Certificates", findCertificates},
		{"endpoints", "Endpoints", findEndpoints}, {"proxies", "Proxies", findProxies}, {"diagnostics", "Diagnostics", findDiagnostics},
	}
}

func searchData(v View, r *http.Request) (any, error) {
	p := searchPage{Text: strings.TrimSpace(r.URL.Query().Get("q")), Kind: r.URL.Query().Get("kind"), Groups: []hits{}}
	if p.Text == "" {
		return p, nil
	}
	p.Explain = explainLink(p.Text)
	for _, f := range finders() {
		if p.Kind != "" && p.Kind != f.kind {
			continue
		}
		all := f.find(v, p.Text)
		group := hits{Kind: f.kind, Title: f.title, Total: len(all), Found: []hit{}}
		p.Total += len(all)
		part := all[:min(len(all), hitsShown)]
		if p.Kind != "" {
			cutPart, paging := cut(all, r)
			part, p.Paging = cutPart, &paging
		} else if len(all) > hitsShown {
			group.More = link("search", "q", p.Text, "kind", f.kind)
		}
		for _, one := range part {
			if one.health != nil {
				health := one.health()
				one.hit.Health = &health
			}
			group.Found = append(group.Found, one.hit)
		}
		if len(all) > 0 {
			p.Groups = append(p.Groups, group)
		}
	}
	return p, nil
}

// explainLink is empty where a text is no URL, nor one without its scheme.
func explainLink(text string) string {
	if strings.ContainsAny(text, " \t\n\"") {
		return ""
	}
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		host, _, _ := strings.Cut(text, "/")
		if !strings.Contains(host, ".") || strings.Contains(host, "*") {
			return ""
		}
		text = "https://" + text
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" {
		return ""
	}
	return link("explain", "url", text)
}
