package model

import (
	"strconv"

	"github.com/postern-gateway/postern/translator/diag"
)

// TLSVersion is a version of TLS as flags and annotations write it. A later one compares greater; the empty one is none.
type TLSVersion string

// The versions that a connection may be asked for.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// Connection is what a claim asks of the TLS connections to its host. The zero value asks for nothing.
type Connection struct {
	// ClientCA names the Secret with the authorities to which a client's certificate must chain; an empty Name asks for no
	// certificate.
	ClientCA SecretRef
	// MinVersion is the lowest version; empty leaves the entry's.
	MinVersion TLSVersion
	// Closed, where not nil, is why what was asked for cannot be applied.
	Closed *Closed
	// Origins are the annotations that ask: the CA's, then the version's.
	Origins Origins
}

// SecretRef is a Secret before it is looked up.
type SecretRef struct {
	Namespace, Name string
	Origin          diag.Origin
}

// TLSGroup is the hosts of an entry whose TLS connections must show the same. They share a filter chain, which a
// connection is given by its SNI; requests for other hosts are misdirected there, and those for its hosts elsewhere.
type TLSGroup struct {
	// Name is made of the settings alone, so that it tells groups of an entry apart: 1.2/NS/SECRET, or 1.3. It is empty for
	// the group of all other hosts.
	Name       string
	MinVersion TLSVersion
	// ClientCA is the name of the ClientCA that a client's certificate must chain to, empty where none is asked for.
	ClientCA string
	// Hosts are exact hosts and wildcards, sorted.
	Hosts   []Host
	Origins Origins
}

// ClientCA is a bundle of authorities that sign the certificates of clients.
type ClientCA struct {
	// Name is NS/SECRET.
	Name string
	// Bundle is PEM and holds certificates of authorities only.
	Bundle  []byte
	Origins Origins
}

// HSTS is a Strict-Transport-Security header (RFC 6797).
type HSTS struct {
	// MaxAge is in seconds; 0 has browsers forget the host.
	MaxAge            int64
	IncludeSubDomains bool
	// Preload is no part of the RFC: it agrees to the lists that browsers are built with.
	Preload bool
	// Plain has the header on the answers of the backend over plain HTTP too, where clients do not heed it (RFC 6797, 8.1).
	Plain bool
	// Origin is the annotation.
	Origin diag.Origin
}

// String is the header's value.
func (h HSTS) String() string {
	value := "max-age=" + strconv.FormatInt(h.MaxAge, 10)
	if h.IncludeSubDomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value
}
