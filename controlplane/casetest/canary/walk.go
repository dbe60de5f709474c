package canary

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// pagesMax bounds a walk: more pages than a test has are links that never end.
const pagesMax = 5000

// Walk is a way through the pages of a server: from some on to every page that one leads to, as HTML and as JSON.
type Walk struct {
	Client *http.Client
	// Base is the address of the server, without a slash at its end.
	Base string
	// Authorization is sent with each request.
	Authorization string
	Start         []string
	// Patterns are of net/http's ServeMux. Each must be asked for.
	Patterns []string
}

var href = regexp.MustCompile(`(?:href|src|action)="([^"#]+)"`)

// Walk fails the test where a page or a header holds a secret, where a pattern has not been asked for, and where there are
// too many pages to ask for each.
func (c *Set) Walk(w Walk) {
	c.t.Helper()
	asked, visited, missing := map[string]bool{}, http.NewServeMux(), map[string]bool{}
	for _, pattern := range w.Patterns {
		visited.Handle(pattern, http.NotFoundHandler())
		missing[pattern] = true
	}
	for queue := w.Start; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		if asked[path] {
			continue
		}
		if len(asked) == pagesMax {
			c.t.Fatalf("more than %d pages lead to each other, and %s is not asked for", pagesMax, path)
		}
		asked[path] = true
		for _, accept := range []string{"text/html", "application/json"} {
			r, err := http.NewRequest("GET", w.Base+path, nil)
			if err != nil {
				c.t.Fatalf("%s: %v", path, err)
			}
			_, pattern := visited.Handler(r)
			delete(missing, pattern)
			r.Header.Set("Accept", accept)
			r.Header.Set("Authorization", w.Authorization)
			header, body := c.ask(w.Client, r)
			c.Check(accept+" of "+path, fmt.Sprint(header, body))
			if accept == "text/html" && strings.HasPrefix(header.Get("Content-Type"), "text/html") {
				queue = append(queue, leadsTo(path, body)...)
			}
		}
	}
	for pattern := range missing {
		c.t.Errorf("nothing has asked for %s", pattern)
	}
}

func (c *Set) ask(client *http.Client, r *http.Request) (http.Header, string) {
	c.t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		c.t.Fatalf("%s: %s", r.URL.Path, answer.Status)
	}
	return answer.Header, string(body)
}

// leadsTo are the addresses on a page, but for the stream of events, which does not end.
func leadsTo(path, body string) []string {
	at, err := url.Parse(path)
	if err != nil {
		return nil
	}
	var out []string
	for _, found := range href.FindAllStringSubmatch(body, -1) {
		to, err := at.Parse(strings.ReplaceAll(found[1], "&amp;", "&"))
		if err == nil && to.Host == "" && to.Path != "/events" {
			out = append(out, to.RequestURI())
		}
	}
	return out
}
