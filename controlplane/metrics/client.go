package metrics

import (
	"context"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientmetrics "k8s.io/client-go/tools/metrics"
)

// registerClient takes client-go's request metrics, whose names are those that every Kubernetes component has. Only the first
// call in a process gets them (clientmetrics.Register).
func registerClient(registry *prometheus.Registry) {
	requests, duration := newCounter(clientRequests), newHistogram(clientDuration)
	registry.MustRegister(requests, duration)
	clientmetrics.Register(clientmetrics.RegisterOpts{RequestResult: clientResults{requests}, RequestLatency: clientLatency{duration}})
}

type clientResults struct{ requests *prometheus.CounterVec }

// Increment leaves the host out: there is one for each cluster, and it may change with every lookup.
func (c clientResults) Increment(_ context.Context, code, method, _ string) {
	c.requests.WithLabelValues(code, method).Inc()
}

type clientLatency struct{ duration *prometheus.HistogramVec }

// Observe leaves the URL out, which names objects.
func (c clientLatency) Observe(_ context.Context, verb string, _ url.URL, latency time.Duration) {
	c.duration.WithLabelValues(verb).Observe(latency.Seconds())
}
