package logging

import (
	"context"
	"log/slog"
	"sync"
)

// warningsMax is how many different warnings of API servers are remembered, so as not to be repeated with every list and
// watch. Beyond it none is logged.
const warningsMax = 256

// apiWarnings logs the warnings in an API server's answers (RFC 7234's header, code 299), each once. klog has no level
// between info and error once it logs to slog (logr), so client-go's own way makes infos of them.
type apiWarnings struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[string]struct{}
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (a *apiWarnings) HandleWarningHeaderWithContext(_ context.Context, code int, _ string, message string) {
	if code == 299 && message != "" && a.first(message) {
		a.log.Warn("the API server warns: " + message)
	}
}

func (a *apiWarnings) first(message string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, again := a.seen[message]; again || len(a.seen) >= warningsMax {
		return false
	}
	a.seen[message] = struct{}{}
	return true
}
