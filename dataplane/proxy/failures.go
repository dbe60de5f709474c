package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postern-gateway/postern/dataplane/failing"
)

const (
	// failureIntervalMin is the least time between two reports of one cluster, whatever its reasons.
	failureIntervalMin = time.Second
	// reasonBytesMax bounds the words of a reason.
	reasonBytesMax = 300
	// unknownClustersMax bounds how many clusters without a resource are remembered as reported.
	unknownClustersMax = 1000
)

// connectError is a failure before the endpoint took any part of a request.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// endpointError is a failure at one endpoint.
type endpointError struct {
	endpoint string
	err      error
}

func (e *endpointError) Error() string { return e.endpoint + ": " + e.err.Error() }
func (e *endpointError) Unwrap() error { return e.err }

// failures reports why a cluster does not answer: once, until the reason changes or the cluster has answered since.
type failures struct {
	tell    func(cluster, endpoint, reason string)
	ledger  *failing.Ledger
	cluster string

	mu       sync.Mutex
	reason   string    // last reported, empty after an answer; guarded by mu
	reported time.Time // when; guarded by mu
}

func (f *failures) report(err error) {
	reason, endpoint := words(err), ""
	if at := (*endpointError)(nil); errors.As(err, &at) {
		endpoint = at.endpoint
	}
	f.ledger.Add(f.cluster, reason)
	f.mu.Lock()
	now := time.Now()
	news := reason != f.reason && now.Sub(f.reported) >= failureIntervalMin
	if news {
		f.reason, f.reported = reason, now
	}
	f.mu.Unlock()
	if news {
		f.tell(f.cluster, endpoint, reason)
	}
}

// clear notes an answer: the next failure is news.
func (f *failures) clear() {
	f.mu.Lock()
	f.reason = ""
	f.mu.Unlock()
}

// words says in plain words why an endpoint gave no answer. They hold nothing that a client sent.
func words(err error) string {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		timeout   net.Error
		connect   *connectError
	)
	connecting := errors.As(err, &connect)
	switch {
	case errors.As(err, &authority):
		return "the endpoint's certificate is not signed by a trusted authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the endpoint's certificate has expired or is not valid yet"
	case errors.As(err, &record):
		return "the endpoint does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case connecting && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)),
		connecting && errors.As(err, &timeout) && timeout.Timeout():
		return "no connection within the connect timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the endpoint closed the connection without an answer"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "the endpoint's answer is not HTTP of the cluster's version"
	}
	reason := err
	if at := (*endpointError)(nil); errors.As(err, &at) {
		reason = at.err // the endpoint is told apart
	}
	text := reason.Error()
	return strings.ToValidUTF8(text[:min(len(text), reasonBytesMax)], "")
}
