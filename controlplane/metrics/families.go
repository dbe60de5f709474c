package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// namespace begins the names of Postern's own metrics.
const namespace = "postern_"

// The types of a metric, in Prometheus' words.
const (
	typeCounter   = "counter"
	typeGauge     = "gauge"
	typeHistogram = "histogram"
)

// family is one metric with all its series.
type family struct {
	name, kind, help string
	// labels have a bounded number of values each: kinds, types, codes, clusters. No path, host or object is one.
	labels []string
	desc   *prometheus.Desc
}

func counter(name, help string, labels ...string) family {
	return define(family{name: name, kind: typeCounter, help: help, labels: labels})
}

func gauge(name, help string, labels ...string) family {
	return define(family{name: name, kind: typeGauge, help: help, labels: labels})
}

func histogram(name, help string, labels ...string) family {
	return define(family{name: name, kind: typeHistogram, help: help, labels: labels})
}

func define(f family) family {
	f.desc = prometheus.NewDesc(f.name, f.help, f.labels, nil)
	return f
}

// What is read when it is asked for: see collector.
var (
	buildInfo = gauge(namespace+"build_info", "1, with what this binary was built of as labels.", "version", "commit")

	objects         = gauge(namespace+"objects", "Objects known, Secrets and ConfigMaps only where something refers to them.", "cluster", "kind")
	ingressesServed = gauge(namespace+"ingresses_served", "Ingresses that have a route, closed ones included.", "cluster")
	routes          = gauge(namespace+"routes", "Routes of all entries; a closed one answers 503 because serving it would be wrong.", "state")
	hosts           = gauge(namespace+"hosts", "Different hosts that have routes, wildcards included.")
	backends        = gauge(namespace+"backends", "Service ports that requests are sent to, by how they are spoken to.")
	endpoints       = gauge(namespace+"endpoints", "Endpoints of all Service ports.")
	diagnostics     = gauge(namespace+"diagnostics", "What there is to say of the objects now; each code has a page in docs/diagnostics.", "severity", "code")

	snapshotRevision  = gauge(namespace+"snapshot_revision", "Count of the snapshots that this process has published; 0 is none yet.")
	snapshotTimestamp = gauge(namespace+"snapshot_timestamp_seconds", "When the newest snapshot was published; absent before the first.")
	snapshotResources = gauge(namespace+"snapshot_resources", "Resources of the newest snapshot, certificates that are asked for by name left out.", "type")
	snapshotBytes     = gauge(namespace+"snapshot_bytes", "Bytes of these resources, as they are sent.", "type")

	proxies       = gauge(namespace+"proxies_connected", "Proxies that are connected to this replica.")
	behind        = gauge(namespace+"proxies_behind", "Connected proxies that have not answered all of the newest snapshot.")
	authorizers   = gauge(namespace+"authorizers_connected", "Authorizers of data planes that are connected to this replica.")
	acks          = counter(namespace+"xds_acks_total", "Responses that proxies accepted.", "type")
	nacks         = counter(namespace+"xds_nacks_total", "Responses that proxies refused.", "type")
	sentResources = counter(namespace+"xds_resources_sent_total", "Resources that were sent to proxies or taken back from them; one that has them from another replica, or from this one's process before, is not sent them again.", "type")
	nackStanding  = gauge(namespace+"xds_refused_resources", "Resources that stand refused now, counted for each proxy.", "type")

	certificates    = gauge(namespace+"certificates", "Different certificates served.")
	certificatesEnd = gauge(namespace+"certificates_expiring", "Certificates served that end within these days; 0 are those that have ended.", "within_days")
	certificatesDue = gauge(namespace+"certificates_earliest_expiry_timestamp_seconds", "When the first of the certificates served ends; absent without any.")
	xdsCertificate  = gauge(namespace+"xds_certificate_expiry_timestamp_seconds", "When the certificate that proxies know this control plane by ends.")

	leader = gauge(namespace+"leader", "1 where this replica writes status and Events, else 0.")
)

// What is counted as it happens.
var (
	publications  = counter(namespace+"publications_total", "Snapshots published; of kind endpoints are those in which nothing else changed.", "kind")
	translation   = histogram(namespace+"translation_duration_seconds", "Time to translate and to make a snapshot.", "kind")
	toPublication = histogram(namespace+"change_publication_delay_seconds", "Time from the first change seen to the snapshot that has it.", "kind")
	toAnswer      = histogram(namespace+"change_answer_delay_seconds", "Time from the first change seen to the last answer of the connected proxies; given up after 60 s.")
	watchErrors   = counter(namespace+"watch_errors_total", "Lists and watches of an API server that failed.", "cluster", "kind")

	clientRequests = counter("rest_client_requests_total", "Requests to API servers by status code and method; the code is <error> where there was no answer.", "code", "method")
	clientDuration = histogram("rest_client_request_duration_seconds", "Time of requests to API servers.", "verb")
)

var collected = []family{
	buildInfo, objects, ingressesServed, routes, hosts, backends, endpoints, diagnostics,
	snapshotRevision, snapshotTimestamp, snapshotResources, snapshotBytes,
	proxies, behind, authorizers, acks, nacks, sentResources, nackStanding,
	certificates, certificatesEnd, certificatesDue, xdsCertificate, leader,
}

// families are all that are not Go's or the process's own.
func families() []family {
	return slices.Concat(collected, []family{publications, translation, toPublication, toAnswer, watchErrors, clientRequests, clientDuration})
}

// delayBuckets go from a millisecond, what one changed endpoint takes, to answerWaitMax.
var delayBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newCounter(f family) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.name, Help: f.help}, f.labels)
}

func newHistogram(f family) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.name, Help: f.help, Buckets: delayBuckets}, f.labels)
}
