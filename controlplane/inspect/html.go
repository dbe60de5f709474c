package inspect

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/report"
)

//go:embed assets
var assets embed.FS

//go:embed templates
var templates embed.FS

// shell is what every page has around its own.
type shell struct {
	// Root leads from the address that was asked for to where the pages are: ./ or a number of ../. All links of pages are
	// relative, so that they work under any prefix without trust in what a proxy says of it.
	Root string
	// Name is the template, empty for a failure.
	Name  string
	Title string
	// Text is what was searched for.
	Text     string
	Version  string
	Revision xds.Revision
	At       time.Time
	Now      time.Time
	// JSON is the address of the same as JSON, Reload of the page itself.
	JSON, Reload string
	Nav          []navItem
	Data         any
}

type navItem struct {
	Name, Link string
	Current    bool
}

// navItems are the pages that every page leads to, each with those that belong to it.
var navItems = []struct {
	name, link string
	templates  []string
}{
	{"Overview", "", []string{"overview"}},
	{"Hosts", "hosts", []string{"hosts", "host"}},
	{"Ingresses", "ingresses", []string{"ingresses", "ingress"}},
	{"Services", "services", []string{"services", "service"}},
	{"Certificates", "certificates", []string{"certificates", "certificate"}},
	{"Proxies", "proxies", []string{"proxies", "proxy"}},
	{"Resources", "resources", []string{"resources"}},
	{"Diagnostics", "diagnostics", []string{"diagnostics"}},
	{"Report", "report", []string{"report"}},
	{"Explain", "explain", []string{"explain"}},
	{"Diff", "diff", []string{"diff"}},
}

// titled is data that name their page.
type titled interface{ Title() string }

// rootOf leads from a path to that of the overview: pages of one depth need nothing.
func rootOf(path string) string {
	up := strings.Count(path, "/") - 1
	if up <= 0 {
		return "./"
	}
	return strings.Repeat("../", up)
}

func newShell(r *http.Request, name string) shell {
	s := shell{Root: rootOf(r.URL.Path), Name: name, Text: strings.TrimSpace(r.URL.Query().Get("q"))}
	query := r.URL.Query()
	own := "./" + path.Base(r.URL.Path)
	if r.URL.Path == "/" {
		own = "./"
	}
	s.Reload = own
	if len(query) > 0 {
		s.Reload += "?" + query.Encode()
	}
	query.Set("format", "json")
	s.JSON = own + "?" + query.Encode()
	for _, item := range navItems {
		n := navItem{Name: item.name, Link: s.Root + item.link}
		for _, of := range item.templates {
			n.Current = n.Current || of == name
		}
		s.Nav = append(s.Nav, n)
	}
	return s
}

// failurePage is a page that says why there is none.
type failurePage struct {
	Status int
	Words  string
	// Waiting says that the page may be there soon.
	Waiting bool
}

func (p failurePage) Title() string { return http.StatusText(p.Status) }

var views = parseTemplates()

// parseTemplates gives each page a set of its own: the layout, the parts that pages share, and its own file.
func parseTemplates() map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(template.FuncMap{
		"plural": plural, "clock": clock, "listed": func(words []string) string { return strings.Join(words, "; ") },
		"grouped": grouped, "base": path.Base, "dict": dict,
	}).ParseFS(templates, "templates/layout.html", "templates/parts.html"))
	files, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		panic("inspect: " + err.Error())
	}
	out := map[string]*template.Template{}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		own := template.Must(shared.Clone())
		out[name] = template.Must(own.ParseFS(templates, file))
	}
	return out
}

// dict makes a map of names and values, for parts that need more than one.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict: a name without a value")
	}
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is not a name", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}

// clock is a time as pages show it, the same everywhere: of UTC, to the second.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// writeHTML shows data by the template of a page.
func (i *Inspector) writeHTML(w http.ResponseWriter, r *http.Request, p page, v View, data any) {
	s := newShell(r, p.template)
	s.Version, s.Revision, s.At, s.Now, s.Data = v.Version, v.Revision, v.At, v.Now, data
	code := http.StatusOK
	if own, ok := data.(interface{ status() int }); ok {
		code = own.status()
	}
	i.render(w, code, s)
}

// render writes a page once it is whole.
func (i *Inspector) render(w http.ResponseWriter, status int, s shell) {
	name := s.Name
	if name == "" {
		name = "failure"
	}
	if j, ok := s.Data.(interface{ jsonAddress() string }); ok {
		s.JSON = j.jsonAddress()
	}
	if t, ok := s.Data.(titled); ok {
		s.Title = t.Title()
	}
	var page bytes.Buffer
	if err := views[name].ExecuteTemplate(&page, "layout", s); err != nil {
		panic("inspect: template " + name + ": " + err.Error())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := page.WriteTo(w); err != nil {
		i.config.Log.Debug("a page was not written", "error", err)
	}
}

// filePolicy is for a page that is a file by itself: its own policy, and nobody frames it.
var filePolicy = report.Policy + "; frame-ancestors 'none'"

// serveFile writes a file once it is whole.
func (i *Inspector) serveFile(w http.ResponseWriter, p page, v View) {
	var file bytes.Buffer
	if err := p.file(v, &file); err != nil {
		panic("inspect: " + p.pattern + ": " + err.Error())
	}
	w.Header().Set("Content-Security-Policy", filePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if _, err := file.WriteTo(w); err != nil {
		i.config.Log.Debug("a file was not written", "error", err)
	}
}

// serveAsset answers with a style sheet or a script.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "assets/"+path.Base(r.URL.Path))
}
