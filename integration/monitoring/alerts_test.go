// Package monitoring_test asks Prometheus' own reader what it makes of the example's alert rules.
package monitoring_test

import (
	"log/slog"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/docs/examples/monitoring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAlertsAreRules covers names, expressions and templates; that the metrics exist is asked in controlplane/metrics.
func TestAlertsAreRules(t *testing.T) {
	groups, faults := rulefmt.Parse(monitoring.Alerts, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, fault := range faults {
		t.Error(fault)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Error("no rules")
	}
}
