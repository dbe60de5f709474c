// Package metrics tells Prometheus what the control plane does. No label is a path, a host or an object.
package metrics

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
)

const (
	// answerWaitMax bounds how long answers of proxies are waited for: one that is stuck must not hide the others' times.
	answerWaitMax = time.Minute
	// scrapesMax is how many scrapes run at once, scrapeTimeout how long one may take.
	scrapesMax    = 4
	scrapeTimeout = 20 * time.Second
)

// The kinds of publications.
const (
	kindConfig    = "config"
	kindEndpoints = "endpoints"
)

// Config is what metrics are read from.
type Config struct {
	Server *xds.Server
	// Leader says whether this replica is the leader; nil is never.
	Leader func() bool
	// XDSCertificateEnd is when the certificate of the xDS server ends, zero where it is not known. It may be nil.
	XDSCertificateEnd func() time.Time
	// Version and Commit are what the binary was built of.
	Version, Commit string
}

// Metrics is a controller.Observer. What a scrape wants is computed in the scrape, from the newest publication: publishing
// waits for no scrape, and pays for none.
type Metrics struct {
	server   *xds.Server
	registry *prometheus.Registry
	latest   atomic.Pointer[published]
	reader   *collector

	publications, watchErrors          *prometheus.CounterVec
	translation, toPublication, answer *prometheus.HistogramVec

	// mu guards unanswered, the publications that Run has not begun to wait for. wake has room for one.
	mu         sync.Mutex
	unanswered unanswered
	wake       chan struct{}
}

// published is a publication and when it was.
type published struct {
	controller.Publication
	at time.Time
}

// unanswered are publications that are waited for as one: the newest, from the first change of all.
type unanswered struct {
	revision xds.Revision
	began    time.Time
}

var _ controller.Observer = (*Metrics)(nil)

// New makes the metrics. It takes client-go's request metrics, of which there is one set for the process, so it is called
// once in a process and before the first client is made; tests may call it again and have none of those.
func New(c Config) *Metrics {
	m := &Metrics{
		server: c.Server, registry: prometheus.NewRegistry(), wake: make(chan struct{}, 1),
		publications: newCounter(publications), watchErrors: newCounter(watchErrors),
		translation: newHistogram(translation), toPublication: newHistogram(toPublication), answer: newHistogram(toAnswer),
	}
	m.reader = &collector{config: c, latest: &m.latest}
	for _, kind := range []string{kindConfig, kindEndpoints} {
		m.publications.WithLabelValues(kind)
		m.translation.WithLabelValues(kind)
		m.toPublication.WithLabelValues(kind)
	}
	m.answer.WithLabelValues()
	m.registry.MustRegister(
		m.publications, m.watchErrors, m.translation, m.toPublication, m.answer,
		m.reader,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	registerClient(m.registry)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, MaxRequestsInFlight: scrapesMax, Timeout: scrapeTimeout,
	}))
	return mux
}

// Published implements controller.Observer.
func (m *Metrics) Published(p controller.Publication) {
	now := time.Now()
	kind := kindConfig
	if p.EndpointsOnly {
		kind = kindEndpoints
	}
	m.publications.WithLabelValues(kind).Inc()
	m.translation.WithLabelValues(kind).Observe(p.Took.Seconds())
	m.latest.Store(&published{Publication: p, at: now})
	if p.Began.IsZero() {
		return
	}
	m.toPublication.WithLabelValues(kind).Observe(now.Sub(p.Began).Seconds())
	m.mu.Lock()
	m.unanswered.revision = p.Revision
	if m.unanswered.began.IsZero() || p.Began.Before(m.unanswered.began) {
		m.unanswered.began = p.Began
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Refused implements controller.Observer. The server itself counts refusals, beside what it counts of ACKs.
func (m *Metrics) Refused(string, xds.NACK) {}

// WatchFailed counts a list or watch that failed, for instance in a cache.WatchErrorHandler.
func (m *Metrics) WatchFailed(cluster, kind string) {
	m.watchErrors.WithLabelValues(cluster, kind).Inc()
}

// Run measures how long proxies take to answer, until ctx ends, which is no error.
func (m *Metrics) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		}
		m.mu.Lock()
		next := m.unanswered
		m.unanswered = unanswered{}
		m.mu.Unlock()
		m.awaitAnswers(ctx, next)
	}
}

// awaitAnswers measures nothing where there is no proxy to answer.
func (m *Metrics) awaitAnswers(ctx context.Context, next unanswered) {
	if next.revision == 0 || m.server.Stats().Proxies == 0 {
		return
	}
	wait, cancel := context.WithTimeout(ctx, answerWaitMax)
	defer cancel()
	// Time that ran out is a measurement too: not less than this.
	_ = m.server.Wait(wait, next.revision)
	if ctx.Err() == nil {
		m.answer.WithLabelValues().Observe(time.Since(next.began).Seconds())
	}
}
