package up

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/model"
)

func TestUpstreamFailureWords(t *testing.T) {
	for _, tt := range []struct{ cluster, reason, want string }{
		{"ns/web/80", "connection refused", "backend ns/web/80 failed: connection refused"},
		{"ns/web/443/https", "TLS error: certificate verify failed", "--upstream-ca FILE"},
		{model.ClosedBackend, "no healthy upstream hosts", "a path that several backends share"},
	} {
		var told bytes.Buffer
		r := report{teller: teller{output: OutputText, err: &told}}
		r.upstreamFailure(tt.cluster, tt.reason)
		if !strings.Contains(told.String(), tt.want) || strings.Contains(told.String(), "backend "+model.ClosedBackend) {
			t.Errorf("%s: %q, want %q in it", tt.cluster, told.String(), tt.want)
		}
	}
}

func TestSharedPathInOneLine(t *testing.T) {
	routes := servedRoutes(model.Table{Any: []model.Route{{
		Path: model.Prefix("/"), HTTPSRedirect: &model.HTTPSRedirect{}, Action: &model.Forward{Targets: []model.Target{
			{Backend: "ns/a/80", Weight: 1}, {Backend: model.ClosedBackend, Weight: 1, Closed: &model.Closed{Reason: "there is no Service ns/b"}},
		}},
	}}})
	if got, want := routes[0].String(), "* /* → redirect to https, then ns/a/80 or 503: there is no Service ns/b"; got != want {
		t.Errorf("a shared path reads %q, want %q", got, want)
	}
}
