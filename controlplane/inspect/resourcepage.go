package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// resourcesPage is what is served over xDS: the types, the resources of one, or one of these.
type resourcesPage struct {
	Filter filter
	Types  []typeLink
	// Type is the name of a type, empty for all.
	Type      string
	Resources []resourceRow
	Paging    paging
	// One is a resource that was asked for by its name.
	One *resourceDetail
}

func (p resourcesPage) Title() string {
	switch {
	case p.One != nil:
		return p.One.Name
	case p.Type != "":
		return "Resources: " + p.Type
	default:
		return "Resources"
	}
}

// jsonAddress is where the same is as JSON.
func (p resourcesPage) jsonAddress() string {
	switch {
	case p.One != nil:
		return "resources/" + p.Type + "/" + Escaped(p.One.Name) + "?format=json"
	case p.Type != "":
		return "resources/" + p.Type + "?format=json"
	default:
		return "resources?format=json"
	}
}

// Escaped is a name as a part of a path, its slashes left as they are: a gateway between may refuse those that are escaped.
func Escaped(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

type typeLink struct {
	TypeTotals
	Link    string
	Current bool
}

// resourceRow is a resource in a list.
type resourceRow struct {
	Resource
	Link  string
	Age   string
	Place []place
}

type resourceDetail struct {
	resourceRow
	// Text is the content as indented JSON, cut where it is longer than resourceTextMax.
	Text string
	Cut  bool
	// Certificates are what a secret has.
	Facts *SecretFacts
}

// resourceTextMax bounds the content that a page shows, in bytes; the JSON has all of it.
const resourceTextMax = 256 << 10

func resourcesView(v View, r *http.Request) (any, error) {
	p := resourcesPage{Filter: filterOf(r)}
	query := r.URL.Query()
	for _, t := range v.Resources().Types {
		p.Types = append(p.Types, typeLink{t, link("resources", "type", t.Type), t.Type == query.Get("type")})
	}
	if query.Get("type") == "" {
		return p, nil
	}
	k, err := ParseKind(query.Get("type"))
	if err != nil {
		return nil, fmt.Errorf("%w%w", err, silent{errNotFound})
	}
	p.Type = k.Name
	if name := query.Get("name"); name != "" {
		one, err := v.Resource(k, name)
		if err != nil {
			return nil, err
		}
		p.One, err = v.resourceDetail(one)
		return p, err
	}
	found := slices.DeleteFunc(v.ResourceList(k).Resources, func(l Resource) bool { return !contains(p.Filter.Text, l.Name) })
	part, paging := cut(found, r)
	p.Paging = paging
	for _, one := range part {
		p.Resources = append(p.Resources, v.resourceRow(one))
	}
	return p, nil
}

func (v View) resourceRow(r Resource) resourceRow {
	return resourceRow{r, link("resources", "type", r.Type, "name", r.Name), ageWords(time.Duration(r.AgeSeconds * float64(time.Second))), placesOf(r.Origins[:min(len(r.Origins), originsShown)])}
}

// originsShown bounds the places of a resource that a page lists: a route table has those of all its routes.
const originsShown = 8

// MoreOrigins is how many places there are beside those that are listed.
func (r resourceRow) MoreOrigins() int { return len(r.Origins) - len(r.Place) }

func (v View) resourceDetail(r Resource) (*resourceDetail, error) {
	d := &resourceDetail{resourceRow: v.resourceRow(r), Facts: r.Secret}
	if r.Content == nil {
		return d, nil
	}
	var text bytes.Buffer
	if err := json.Indent(&text, r.Content, "", "  "); err != nil {
		return nil, fmt.Errorf("print %s: %w", r.Name, err)
	}
	d.Text = text.String()
	if len(d.Text) > resourceTextMax {
		d.Text, d.Cut = d.Text[:resourceTextMax], true
	}
	return d, nil
}
