package model

import "github.com/postern-gateway/postern/translator/diag"

// HeaderChange sets a header to one value in place of all that it has, or takes it off.
type HeaderChange struct {
	// Name is canonical, as net/http has it, and a token of RFC 9110.
	Name string
	// Value is literal and without control characters; empty takes the header off.
	Value string
	// OnlyTLS has the change hold on entries with TLS alone.
	OnlyTLS bool
	Origin  diag.Origin
}
