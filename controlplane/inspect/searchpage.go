package inspect

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// hit is something that a search finds.
type hit struct {
	Name string `json:"name"`
	Link string `json:"link"`
	// About tells it from others.
	About  string    `json:"about,omitempty"`
	Health condition `json:"health"`
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

// found is a hit whose health is not looked up yet.
type found struct {
	hit
	health func() condition
}

func finders() []finder {
	return []finder{
		{"hosts", "Hosts", findHosts}, {"paths", "Paths", findPaths}, {"ingresses", "Ingresses", findIngresses},
		{"services", "Services", findServices}, {"certificates", "Certificates", findCertificates},
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
			one.hit.Health = one.health()
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

func findHosts(v View, text string) []found {
	var out []found
	at := map[string]int{}
	for _, h := range v.index().hosts {
		if !contains(text, h.name) {
			continue
		}
		if i, ok := at[h.name]; ok {
			// The entries of a host mostly fare alike; its page has them all.
			out[i].About += ", " + h.entry + " " + plural(len(h.routes), "route")
			continue
		}
		at[h.name] = len(out)
		out = append(out, found{hit{Name: h.name, Link: link("host", "name", h.name), About: h.entry + " " + plural(len(h.routes), "route")}, func() condition { return v.hostHealth(h) }})
	}
	return out
}

// findPaths finds routes by their path, or by host and path as a URL has them.
func findPaths(v View, text string) []found {
	text = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"))
	var out []found
	if !strings.Contains(text, "/") {
		text = "/" + text // Hosts are found as such.
	}
	for _, h := range v.index().hosts {
		for i, r := range h.routes {
			if contains(text, h.name+r.Path.Value) && !contains(text, h.name) {
				at := routeAt{h, i}
				about := h.entry
				if len(r.Origins) > 0 {
					about += ", " + r.Origins[0].Object()
				}
				out = append(out, found{hit{Name: h.name + " " + r.Path.String(), Link: link("explain", "url", at.example()), About: about}, func() condition { return v.routeHealth(r) }})
			}
		}
	}
	return out
}

func findIngresses(v View, text string) []found {
	var out []found
	for _, of := range v.index().served {
		if contains(text, nameOf(of)) {
			out = append(out, found{hit{Name: nameOf(of), Link: linkOf(of), About: plural(len(v.index().routesOf[of]), "route")}, func() condition { return v.ingressHealth(of) }})
		}
	}
	return out
}

func findServices(v View, text string) []found {
	var out []found
	for _, b := range v.backendRows() {
		if contains(text, b.Name, b.Outside) {
			out = append(out, found{hit{Name: b.Name, Link: b.Link, About: plural(b.Taking, "endpoint")}, func() condition { return b.Health }})
		}
	}
	return out
}

func findCertificates(v View, text string) []found {
	var out []found
	for _, c := range v.certificateRows() {
		if contains(text, c.of.texts()...) {
			out = append(out, found{hit{Name: cmp.Or(c.Subject, c.ID), Link: c.Link, About: "ends " + c.Ends}, func() condition { return c.Health }})
		}
	}
	return out
}
