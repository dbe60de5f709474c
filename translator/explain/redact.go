package explain

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/translator/model"
)

// Redacted stands for what is not shown.
const Redacted = model.Redacted

// credentialNames are the headers by which a client says who it is.
var credentialNames = []string{"Authorization", "Proxy-Authorization", "Cookie"}

// annotated are the headers whose values stand in annotations, as an API key for a backend does.
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
	return redacted(d.Headers, slices.Concat(credentialNames, d.annotated))
}

// ShownResponse are the headers that the answer gets as they may be shown: without the values that an annotation sets.
func (d Decision) ShownResponse() http.Header { return redacted(d.Response, d.annotatedResponse) }

// Annotated says whether an annotation sets a header of the request.
func (d Decision) Annotated(name string) bool { return slices.Contains(d.annotated, name) }

func redacted(h http.Header, names []string) http.Header {
	out := h.Clone()
	for name, values := range out {
		if slices.Contains(names, name) && len(values) > 0 {
			out[name] = slices.Repeat([]string{Redacted}, len(values))
		}
	}
	return out
}

// ShownPath is the path as it may be shown: without the query of a URL that an annotation has the gateway ask for.
func (d Decision) ShownPath() string {
	if d.ownPath {
		return model.WithoutQuery(d.Path)
	}
	return d.Path
}

// Whole is the decision with nothing left out when it is written as JSON, to be compared and never shown. What stands in it,
// of shares and of whoever else is asked, is as it was.
func (d Decision) Whole() Decision {
	d.whole = true
	return d
}

// MarshalJSON writes the decision as it may be shown.
func (d Decision) MarshalJSON() ([]byte, error) {
	type plain Decision
	out := plain(d)
	if !d.whole {
		out.Path, out.Headers, out.Response = d.ShownPath(), d.Shown(), d.ShownResponse()
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(out)
	return b.Bytes(), err
}
