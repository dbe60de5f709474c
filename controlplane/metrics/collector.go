package metrics

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-gateway/postern/controlplane/xds"
)

// expiryDays are the bounds that certificates are counted by.
var expiryDays = []int{0, 7, 14, 30}

// collector reads the newest publication and the server's ledger when a scrape asks.
type collector struct {
	config Config
	latest *atomic.Pointer[published]

	// mu guards summary, which is of the newest publication that a scrape has seen. Only scrapes take it.
	mu      sync.Mutex
	summary *summary
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range collected {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	to := sink(ch)
	to.put(buildInfo, 1, c.config.Version, c.config.Commit)
	to.put(leader, truth(c.config.Leader != nil && c.config.Leader()))
	if c.config.XDSCertificateEnd != nil {
		if end := c.config.XDSCertificateEnd(); !end.IsZero() {
			to.put(xdsCertificate, float64(end.Unix()))
		}
	}
	to.ledger(c.config.Server.Stats())
	if p := c.latest.Load(); p != nil {
		to.put(snapshotTimestamp, float64(p.at.UnixMilli())/1000)
		to.summary(c.summarized(p), time.Now())
	}
}

// summarized reads a publication once, however often it is scraped.
func (c *collector) summarized(p *published) *summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.summary == nil || c.summary.of != p {
		c.summary = summarize(p, c.summary)
	}
	return c.summary
}

// sink is where metrics of one scrape go.
type sink chan<- prometheus.Metric

func (s sink) put(f family, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if f.kind == typeCounter {
		kind = prometheus.CounterValue
	}
	s <- prometheus.MustNewConstMetric(f.desc, kind, value, labels...)
}

func (s sink) ledger(stats xds.Stats) {
	s.put(snapshotRevision, float64(stats.Revision))
	s.put(proxies, float64(stats.Proxies))
	s.put(behind, float64(stats.Behind))
	s.put(authorizers, float64(stats.Authorizers))
	for _, of := range stats.Types {
		s.put(acks, float64(of.ACKs), of.Type)
		s.put(nacks, float64(of.NACKs), of.Type)
		s.put(sentResources, float64(of.Sent), of.Type)
		s.put(nackStanding, float64(of.Refused), of.Type)
	}
}

func (s sink) summary(sum *summary, now time.Time) {
	for key, n := range sum.objects {
		s.put(objects, float64(n), key.cluster, key.kind)
	}
	for cluster, n := range sum.ingresses {
		s.put(ingressesServed, float64(n), cluster)
	}
	s.put(routes, float64(sum.routesServed), "served")
	s.put(routes, float64(sum.routesClosed), "closed")
	s.put(hosts, float64(sum.hosts))
	s.put(backends, float64(sum.backends))
	s.put(endpoints, float64(sum.endpoints))
	for key, n := range sum.diagnostics {
		s.put(diagnostics, float64(n), key.severity.String(), string(key.code))
	}
	for _, size := range sum.sizes {
		s.put(snapshotResources, float64(size.Resources), size.Type)
		s.put(snapshotBytes, float64(size.Bytes), size.Type)
	}
	s.put(certificates, float64(len(sum.ends)))
	for _, days := range expiryDays {
		n := 0
		for _, end := range sum.ends {
			if !end.After(now.AddDate(0, 0, days)) {
				n++
			}
		}
		s.put(certificatesEnd, float64(n), strconv.Itoa(days))
	}
	if len(sum.ends) > 0 {
		s.put(certificatesDue, float64(sum.earliest().Unix()))
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
