package explain

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/translator/model"
)

// Redacted stands for the value of a header that may be a credential.
const Redacted = "[redacted]"

// credentialNames are the headers by which a client says who it is.
var credentialNames = []string{"Authorization", "Proxy-Authorization", "Cookie"}

// annotated are the headers of a request whose values stand in annotations, as an API key for a backend does.
func annotated(changes []model.HeaderChange) []string {
	var out []string
	for _, c := range changes {
		if c.Value != "" {
			out = append(out, c.Name)
		}
	}
	return out
}

// Shown are the headers that the backend sees as they may be shown: without the values of those that the client shows who
// it is by, or that an annotation sets.
func (d Decision) Shown() http.Header {
	out := d.Headers.Clone()
	for name, values := range out {
		if slices.Contains(credentialNames, name) || slices.Contains(d.annotated, name) {
			out[name] = slices.Repeat([]string{Redacted}, len(values))
		}
	}
	return out
}

// MarshalJSON writes the decision with its headers as they may be shown.
func (d Decision) MarshalJSON() ([]byte, error) {
	type plain Decision
	out := plain(d)
	out.Headers = d.Shown()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(out)
	return b.Bytes(), err
}
