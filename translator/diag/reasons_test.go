package diag

import (
	"regexp"
	"testing"
)

// reasonForm is CamelCase; an Event's reason has at most 128 bytes (events.k8s.io/v1).
var reasonForm = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{2,127}$`)

func TestReasons(t *testing.T) {
	seen := map[string]Code{}
	for _, page := range Codes() {
		reason, ok := reasons[page.Code]
		if !ok || !reasonForm.MatchString(reason) {
			t.Errorf("%s has the reason %q: give it one in CamelCase", page.Code, reason)
		}
		if other, twice := seen[reason]; twice {
			t.Errorf("%s and %s have one reason, %s", other, page.Code, reason)
		}
		seen[reason] = page.Code
	}
	if len(reasons) != len(Codes()) {
		t.Errorf("%d reasons for %d codes", len(reasons), len(Codes()))
	}
}
