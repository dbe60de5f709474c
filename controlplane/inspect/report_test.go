package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/postern-gateway/postern/translator/report"
)

// askReport is the report as programs get it, as far as all reports have it.
func askReport(s site, query string) (map[string]any, paging) {
	s.t.Helper()
	status, _, body := s.get("/report?format=json" + query)
	var form map[string]any
	var rest struct{ Paging paging }
	if status != http.StatusOK || json.Unmarshal([]byte(body), &form) != nil || json.Unmarshal([]byte(body), &rest) != nil {
		s.t.Fatalf("%s: %d %s", query, status, body)
	}
	for _, own := range []string{"filter", "paging", "annotationState", "outcome"} {
		delete(form, own)
	}
	return form, rest.Paging
}

// TestReportIsLints: the pages of the report, put together, are what lint says of the same objects.
func TestReportIsLints(t *testing.T) {
	for name, text := range map[string]string{"shop": shopText(t), "many": many(250)} {
		v := viewOf(t, text)
		s := siteOf(t, v)
		whole, err := json.Marshal(report.Make(report.Input{World: v.World, Result: v.Result}))
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := json.Unmarshal(whole, &want); err != nil {
			t.Fatal(err)
		}
		got, paging := askReport(s, "")
		for page := 2; page <= paging.Pages; page++ {
			more, _ := askReport(s, fmt.Sprintf("&page=%d", page))
			for _, list := range []string{"annotations", "ingresses"} {
				got[list] = append(got[list].([]any), more[list].([]any)...)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the report is %.2000v\nwant %.2000v", name, got, want)
		}
		if name == "many" && paging.Pages != 3 {
			t.Errorf("%d pages", paging.Pages)
		}
	}
}

// TestReportFilters: each filter narrows its own list, and what people see is the same.
func TestReportFilters(t *testing.T) {
	s := siteOf(t, shopView(t))
	all, _ := askReport(s, "")
	for query, list := range map[string]string{"state=applied": "annotations", "outcome=not-served": "ingresses", "q=mistaken": "ingresses"} {
		some, _ := askReport(s, "&"+query)
		key, value, _ := strings.Cut(query, "=")
		rows := some[list].([]any)
		if len(rows) == 0 || len(rows) >= len(all[list].([]any)) {
			t.Errorf("%s: %d rows of %d", query, len(rows), len(all[list].([]any)))
		}
		for _, row := range rows {
			if found := row.(map[string]any)[key]; key != "q" && found != value {
				t.Errorf("%s: %v", query, found)
			}
		}
		if !reflect.DeepEqual(some["summary"], all["summary"]) {
			t.Errorf("%s: the sums are not of all", query)
		}
		tables := 0
		for _, table := range elements(s.page("/report?"+query), "table") {
			if attribute(table, "class") == "annotations" == (list == "annotations") {
				tables += len(elements(elements(table, "tbody")[0], "tr"))
			}
		}
		if tables == 0 || list == "ingresses" && tables != len(rows) {
			t.Errorf("%s: people see %d rows, programs %d", query, tables, len(rows))
		}
	}
}

// TestReportFile: the file is lint's, and comes with a policy of its own, which no other page has.
func TestReportFile(t *testing.T) {
	v := shopView(t)
	guarded := newGuard(hosts{any: true}, nil, siteOf(t, v).handler)
	_, header, body := site{t, guarded}.get(reportFilePath)
	var want strings.Builder
	if err := report.Make(report.Input{World: v.World, Result: v.Result}).HTML(&want, report.Page{Place: "a gateway at revision 7"}); err != nil {
		t.Fatal(err)
	}
	if body != want.String() {
		t.Errorf("the file is another: %.500s", body)
	}
	policy := header.Get("Content-Security-Policy")
	if len(header.Values("Content-Security-Policy")) != 1 || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "sha256-") ||
		!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("its headers are %v", header)
	}
	page, err := html.Parse(strings.NewReader(body))
	if err != nil || len(elements(page, "style")) != 1 {
		t.Errorf("it has no style of its own (%v)", err)
	}
	if _, header, _ := (site{t, guarded}).get("/report"); header.Get("Content-Security-Policy") != securityPolicy {
		t.Errorf("the policy of other pages is %s", header.Get("Content-Security-Policy"))
	}
}
