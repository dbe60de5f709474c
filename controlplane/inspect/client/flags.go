package client

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Flags say which server is asked, and as whom.
type Flags struct {
	server, auth, ca string
	// side names a server's place on the command line, where that is not --server.
	side string
}

// Register adds the flags.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&f.server, "server", "", "`URL` of a live server's inspection address, as http://127.0.0.1:8079 or https://node/postern")
	f.RegisterTrust(fs)
}

// RegisterTrust adds the flags beside --server, for commands that take servers as arguments: see At.
func (f *Flags) RegisterTrust(fs *pflag.FlagSet) {
	fs.StringVar(&f.auth, "server-auth", "", "`FILE` with the credential for a live server: NAME:PASSWORD or a token")
	fs.StringVar(&f.ca, "server-ca", "", "PEM `FILE` with the authority that signed the certificate of a live server, if not a public one")
}

// At are the flags for a server that is named otherwise than by --server: as a side, for messages.
func (f *Flags) At(server, side string) *Flags {
	return &Flags{server: server, auth: f.auth, ca: f.ca, side: side}
}

// Given says whether a server is named.
func (f *Flags) Given() bool { return f.server != "" }

// Check says what is wrong with the flags where no server is named.
func (f *Flags) Check() error {
	switch {
	case f.Given():
		return nil
	case f.auth != "":
		return errors.New("--server-auth is for --server, which is missing")
	case f.ca != "":
		return errors.New("--server-ca is for --server, which is missing")
	}
	return nil
}

// Client reads the files and gives the client of the server. Who may read the file of the credential is left to its owner:
// a mounted Secret is readable by all of its pod.
func (f *Flags) Client() (*Client, error) {
	base, err := parseServer(f.server)
	if err != nil {
		return nil, fmt.Errorf("%s %w", cmp.Or(f.side, "--server"), err)
	}
	c := &Client{base: *base, answerMax: answerMax}
	var roots *x509.CertPool
	if f.ca != "" {
		if roots, err = readAuthority(f.ca, base.Scheme); err != nil {
			return nil, fmt.Errorf("--server-ca %s: %w", f.ca, err)
		}
	}
	if f.auth != "" {
		if c.authorization, err = readCredential(f.auth, base); err != nil {
			return nil, fmt.Errorf("--server-auth %s: %w", f.auth, err)
		}
	}
	c.http = &http.Client{Transport: newTransport(roots), CheckRedirect: noRedirect}
	return c, nil
}

// noRedirect: a credential is for the server that was named, and for no other.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// parseServer reads the address of a server. What it says of a mistake never holds a password.
func parseServer(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("is missing: write a URL, as http://127.0.0.1:8079")
	}
	whole := text
	if !strings.Contains(text, "://") {
		whole = "http://" + text
		if host, _, _ := strings.Cut(text, "/"); !strings.Contains(host, ":") {
			return nil, fmt.Errorf("%s: write http:// or https:// before it, or a port behind the host, as HOST:PORT", text)
		}
	}
	u, err := url.Parse(whole)
	switch {
	case strings.Contains(whole, "@"):
		return nil, errors.New("has a user name: other users of this machine see what is on a command line; name a file by --server-auth FILE")
	case err != nil:
		return nil, fmt.Errorf("%s: it is no URL", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s: write a URL of http or https", text)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s: write a host, as http://127.0.0.1:8079", text)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%s: write the address alone, without a query or a fragment", text)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func readAuthority(file, scheme string) (*x509.CertPool, error) {
	if scheme != "https" {
		return nil, errors.New("it is for a server of https")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, withoutPath(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return roots, nil
}

// readCredential gives a credential to a server that is told it in secret, or is on this machine.
func readCredential(file string, server *url.URL) (string, error) {
	if server.Scheme == "http" && !isLoopback(server.Hostname()) {
		return "", fmt.Errorf("over http to %s everyone on the way would read the credential: write https://, or ask through a tunnel to 127.0.0.1, "+
			"as kubectl port-forward makes one", server.Host)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", withoutPath(err)
	}
	return authorization(text)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// withoutPath is an error of a file whose name stands before it already.
func withoutPath(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
