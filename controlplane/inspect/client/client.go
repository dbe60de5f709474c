// Package client asks the inspection address of a live server, for the commands that look into one.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// timeout bounds one question, its whole answer included.
	timeout = 30 * time.Second
	// answerMax is the longest answer that is read, in bytes: the snapshot of tens of thousands of Ingresses fits.
	answerMax = 256 << 20
	// wordsMax is how much of a server's own words is repeated, in bytes.
	wordsMax = 500
)

// Client asks one server. It is safe for use by several goroutines.
type Client struct {
	base url.URL
	// authorization is the value of that header, empty for none.
	authorization string
	// credential names what authorization is of.
	credential string
	http       *http.Client
	answerMax  int64
	tunnel     *Tunnel // nil for none
}

// Get asks for the JSON of a path below the server's address, with a query, and decodes it into a value. The error says
// in a sentence what went wrong, and what to do where something can be done.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	return c.GetWith(ctx, path, query, nil, into)
}

// GetWith is Get with headers of its own, for what a URL, which others may log, is not to hold.
func (c *Client) GetWith(ctx context.Context, path string, query url.Values, header http.Header, into any) error {
	answer, err := c.get(ctx, path, query, header)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s: its answer is not the JSON that is asked for; is it another version of Postern? %w", c, err)
	}
	return nil
}

// String is the address, or the name of what is at a tunnel's end, for messages.
func (c *Client) String() string {
	if c.tunnel != nil {
		return c.tunnel.Server
	}
	return c.base.String()
}

func (c *Client) get(ctx context.Context, path string, query url.Values, header http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u := *c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c, err)
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Accept", "application/json")
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, cmp.Or(c.broken(), c.unreachable(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.answerMax+1))
	switch {
	case err != nil && c.broken() != nil:
		return nil, c.broken()
	case err != nil:
		return nil, fmt.Errorf("%s: its answer broke off: %w", c, reason(err))
	case int64(len(body)) > c.answerMax:
		return nil, fmt.Errorf("%s: its answer is longer than %d bytes", c, c.answerMax)
	case response.StatusCode != http.StatusOK:
		return nil, c.refused(path, response, body)
	case !isJSON(response.Header):
		return nil, fmt.Errorf("%s answers %s in place of JSON: it is no inspection address of Postern's", c, mediaType(response.Header))
	}
	return body, nil
}

func isJSON(h http.Header) bool { return mediaType(h) == "application/json" }

// mediaType is the type of an answer, fit to be printed.
func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return "something"
	}
	return kind
}

// unreachable says why there is no answer.
func (c *Client) unreachable(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var timedOut net.Error
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s: no known authority has signed its certificate: name the one that has by --server-ca FILE", c)
	case errors.As(err, &name):
		return fmt.Errorf("%s: its certificate is for other names: %w", c, name)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return fmt.Errorf("%s: it does not speak TLS there: write http://", c)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: nothing listens there: is it the inspection address of a Postern that runs?", c)
	case errors.As(err, &timedOut) && timedOut.Timeout():
		return fmt.Errorf("%s: it has not answered in time", c)
	}
	return fmt.Errorf("%s: %w", c, reason(err))
}

// reason is an error without the URL that net/http puts before it, whose query may hold a certificate or a password.
func reason(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// refused says what an answer without what was asked for means.
func (c *Client) refused(path string, response *http.Response, body []byte) error {
	words := ownWords(response.Header, body)
	status := response.StatusCode
	switch {
	case status >= 300 && status < 400:
		return fmt.Errorf("%s answers by a redirect to %q: write the address of the server itself", c, response.Header.Get("Location"))
	case status == http.StatusUnauthorized && c.authorization == "":
		return fmt.Errorf("%s wants a credential: name the file that holds it by --server-auth FILE", c)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%s does not take %s", c, cmp.Or(c.credential, "the credential of --server-auth"))
	case status == http.StatusForbidden && words == "":
		return fmt.Errorf("%s does not allow it (403): ask by a name that it is known by, and with a credential that may", c)
	case status == http.StatusNotFound && words == "":
		return fmt.Errorf("%s has no /%s: it is another server, or a Postern of an earlier version, or a path prefix is missing",
			c, strings.TrimPrefix(path, "/"))
	case status == http.StatusBadRequest && strings.Contains(string(body), plainToTLS) && c.tunnel != nil:
		return fmt.Errorf("%s speaks TLS, which --live does not: make a tunnel by kubectl port-forward, and name its beginning, https://localhost:PORT, as --server or a side of diff", c)
	case status == http.StatusBadRequest && strings.Contains(string(body), plainToTLS):
		return fmt.Errorf("%s: it speaks TLS there: write https://", c)
	case words == "":
		return fmt.Errorf("%s answers %d %s", c, status, http.StatusText(status))
	}
	return fmt.Errorf("%s answers %d: %s", c, status, words)
}

// plainToTLS is in what net/http answers where it speaks TLS.
const plainToTLS = "HTTP request to an HTTPS server"

// Refusal is the JSON of an answer that is not what was asked for.
type Refusal struct {
	// Error says why, in a sentence.
	Error string `json:"error"`
}

// ownWords is what a server of ours says of its refusal, in one line, empty for those of others.
func ownWords(h http.Header, body []byte) string {
	var r Refusal
	if !isJSON(h) || json.Unmarshal(body, &r) != nil {
		return ""
	}
	words := strings.Join(strings.Fields(r.Error), " ")
	return strings.ToValidUTF8(words[:min(len(words), wordsMax)], "")
}

// newTransport is Go's own, with the authority of a server.
func newTransport(roots *x509.CertPool) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return t
}

// authorization is the header's value for what a file of a credential holds.
func authorization(content []byte) (string, error) {
	text := string(bytes.TrimSpace(content))
	switch name, _, basic := strings.Cut(text, ":"); {
	case text == "":
		return "", errors.New("it is empty: write NAME:PASSWORD or a token")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", errors.New("it has more than one line: write NAME:PASSWORD or a token")
	case basic && name == "":
		return "", errors.New("there is no name before the colon: write NAME:PASSWORD or a token")
	case basic:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)), nil
	// RFC 6750, 2.1: b64token.
	case strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 || !strings.ContainsRune(tokenCharacters, r) }):
		return "", errors.New("it is neither NAME:PASSWORD nor a token")
	default:
		return "Bearer " + text, nil
	}
}

const tokenCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
