package metrics

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"
)

const (
	document   = "../../docs/operate/metrics.md"
	alerts     = "../../docs/examples/monitoring/alerts.yaml"
	tableBegin = "<!-- the table is written by: UPDATE=1 go test ./controlplane/metrics -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// labelsAllowed are those whose values are bounded, by Kubernetes' kinds, xDS's types, our codes and HTTP's words.
var labelsAllowed = []string{"cluster", "kind", "type", "code", "severity", "state", "within_days", "version", "commit", "method", "verb"}

// gathered is what a scrape gives once everything has happened.
func gathered(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	process.Published(publication(t, process.server))
	process.WatchFailed("", "Ingress")
	requestFailed(t)
	out, err := process.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDocument keeps the table of the documentation, which is of the families, and the families to what a scrape gives.
func TestDocument(t *testing.T) {
	seen := map[string]*dto.MetricFamily{}
	for _, f := range gathered(t) {
		if !strings.HasPrefix(f.GetName(), "go_") && !strings.HasPrefix(f.GetName(), "process_") && !strings.HasPrefix(f.GetName(), "promhttp_") {
			seen[f.GetName()] = f
		}
	}
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families() {
		got := seen[f.name]
		if got == nil {
			t.Errorf("%s is in no scrape", f.name)
			continue
		}
		delete(seen, f.name)
		var labels []string
		for _, pair := range got.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
			if !slices.Contains(labelsAllowed, pair.GetName()) {
				t.Errorf("%s has the label %s, whose values nothing bounds", f.name, pair.GetName())
			}
		}
		declared := slices.Sorted(slices.Values(f.labels))
		if !slices.Equal(labels, declared) || strings.ToLower(got.GetType().String()) != f.kind || got.GetHelp() != f.help {
			t.Errorf("%s is %v with %q, declared %+v", f.name, got.GetType(), labels, f)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", f.name, f.kind, strings.Join(f.labels, ", "), strings.NewReplacer("<", "&lt;").Replace(f.help))
	}
	for name := range seen {
		t.Errorf("%s is in a scrape and in no list", name)
	}
	body, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(body), tableBegin)
	old, after, ends := strings.Cut(rest, tableEnd)
	switch {
	case !begins || !ends:
		t.Fatalf("%s has no place for the table", document)
	case old == table.String():
	case os.Getenv("UPDATE") == "1":
		if err := os.WriteFile(document, []byte(before+tableBegin+table.String()+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another table; UPDATE=1 writes it. It should be:\n%s", document, table.String())
	}
}

func TestPromlint(t *testing.T) {
	gathered(t)
	problems, err := testutil.GatherAndLint(process.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestAlerts keeps the example's rules to metrics that exist, and has each say what to do. That the expressions are PromQL
// is asked of Prometheus' own parser in integration.
func TestAlerts(t *testing.T) {
	body, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(body, &rules); err != nil {
		t.Fatal(err)
	}
	known := map[string]family{}
	for _, f := range families() {
		known[f.name] = f
		if f.kind == typeHistogram {
			known[f.name+"_bucket"], known[f.name+"_count"], known[f.name+"_sum"] = f, f, f
		}
	}
	metric := regexp.MustCompile(`\b(?:postern|rest_client)_\w+`)
	n := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			n++
			names := metric.FindAllString(rule.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks for no metric of Postern's", rule.Alert)
			}
			for _, name := range names {
				if _, ok := known[name]; !ok {
					t.Errorf("%s: there is no metric %s", rule.Alert, name)
				}
			}
			if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["runbook"] == "" {
				t.Errorf("%s lacks a severity, a summary or a runbook", rule.Alert)
			}
		}
	}
	if n == 0 {
		t.Error("no rules")
	}
}
