package traefik

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var errorPages = []dialect.Annotation{
	{
		Key: "error-pages", On: dialect.OnIngress, Family: "errors", Case: "errors/pages",
		Type:    "YAML: a name, and below it status, a list of statuses and ranges of them, backend and query",
		Support: dialect.Approximated,
		Note: "The backend is named as Traefik named it, by host and path of a rule of the Ingress's namespace, or as SERVICE or SERVICE:PORT of that namespace; " +
			"it may be the route's own. Of several pages the first by name that has the status counts. The page sees its own name as Host, and no conditional " +
			"or range headers. Where it does not come within 5 s, the answer is the status and nothing else. Strict-Transport-Security stays. " +
			"An answer without a body (1xx, 204, 304) is never replaced, and neither is one to a request that is refused before a route is asked, or of a route that answers 503 because of a mistake in its Ingress.",
		Doc: "Sends another backend's page in place of answers with these statuses, the gateway's own and redirects too. The status stays; " +
			"{status} in the query stands for it. The page is asked for by GET, with the headers of the request; its headers and body are sent, whatever its own status.",
		Example: `{down: {status: ["500-599"], backend: errors.example.com/, query: "/{status}.html"}}`,
	},
}

// writtenPage is a page as the annotation has it.
type writtenPage struct {
	Status  []string `yaml:"status"`
	Backend string   `yaml:"backend"`
	Query   string   `yaml:"query"`
}

const (
	errorPageForms = `{NAME: {status: ["500-599", "404"], backend: SERVICE:PORT, query: "/{status}.html"}}`
	// pagesMax and rangesMax bound what is looked through for each answer.
	pagesMax  = 32
	rangesMax = 64
	// queryMaxBytes is below what servers take for a request line.
	queryMaxBytes = 2048
)

func readErrorPages(r *dialect.Reader, shape *dialect.Shape) {
	text, at, ok := r.Value("error-pages")
	if !ok {
		return
	}
	bad := func(wrong, effect string) {
		r.Say(diag.New(diag.CodeBadValue, at, wrong, effect, "write "+errorPageForms))
	}
	var pages map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(text), &pages); err != nil || len(pages) == 0 {
		bad("it is not YAML with a page below a name", "errors are answered without pages")
		return
	}
	if len(pages) > pagesMax {
		bad(fmt.Sprintf("it has more than %d pages", pagesMax), "errors are answered without pages")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		node := pages[name]
		page, wrong := readErrorPage(&node)
		if wrong != "" {
			bad(fmt.Sprintf("page %q: %s", name, wrong), "errors are answered without that page")
			continue
		}
		page.Name, page.Origin = name, at
		shape.Policies.ErrorPages = append(shape.Policies.ErrorPages, page)
	}
	if len(shape.Policies.ErrorPages) > 0 {
		shape.Annotations = append(shape.Annotations, at)
	}
}

// readErrorPage reads one page, and says what is wrong with it where something is.
func readErrorPage(node *yaml.Node) (model.ErrorPageClaim, string) {
	var out model.ErrorPageClaim
	if node.Kind == yaml.MappingNode {
		for i := 0; i < len(node.Content); i += 2 {
			if key := node.Content[i].Value; !slices.Contains([]string{"status", "backend", "query"}, key) {
				return out, fmt.Sprintf("there is no field %q", key)
			}
		}
	}
	var page writtenPage
	if err := node.Decode(&page); err != nil {
		return out, "it is not a list status, a backend and a query"
	}
	if len(page.Status) == 0 || len(page.Status) > rangesMax {
		return out, fmt.Sprintf("status is not a list of 1 to %d", rangesMax)
	}
	for _, text := range page.Status {
		one, ok := parseStatuses(text)
		if !ok {
			return out, fmt.Sprintf("%q is no status from 100 to 999, and no range of them", text)
		}
		out.Statuses = append(out.Statuses, one)
	}
	if out.Backend = strings.TrimSpace(page.Backend); out.Backend == "" {
		return out, "the backend is missing"
	}
	// Traefik put a slash before a query without one (middlewares/errorpages/error_pages.go).
	out.Path = "/" + strings.TrimPrefix(strings.TrimSpace(page.Query), "/")
	if len(out.Path) > queryMaxBytes || strings.ContainsFunc(out.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }) {
		return out, fmt.Sprintf("the query is no path of at most %d characters, without blanks and #, others than ASCII as %%XX", queryMaxBytes)
	}
	return out, ""
}

// parseStatuses reads a status or a range of them.
func parseStatuses(text string) (model.StatusRange, bool) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, wrong := strconv.Atoi(strings.TrimSpace(first))
	to, wrongToo := strconv.Atoi(strings.TrimSpace(last))
	return model.StatusRange{From: from, To: to}, wrong == nil && wrongToo == nil && 100 <= from && from <= to && to <= 999
}
