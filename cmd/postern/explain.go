package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	neturl "net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/translator/explain"
)

func explainCommand() *cobra.Command {
	var e explainFlags
	c := &cobra.Command{
		Use:   "explain (-f PATH | --server URL | --live) URL",
		Short: "Say where a URL goes, and which object and field made it so",
		Long: `Asks the same model that is served, from files or of a live server: which entry, certificate, host and
route answer the URL, what becomes of the request on its way, which rules lost and why, and which object,
field and line each of it comes from. Nothing is sent to the URL.

--live asks the control plane that runs in the cluster; without it kubectl's flags have the cluster's
objects asked, as they are now.`,
		Example: `  postern explain -f manifests/ http://node/k8s/
  postern explain -f manifests/ -X POST -H 'X-Forwarded-Proto: https' --from 10.0.0.9 http://shop.test/cart
  postern explain -f manifests/ --client-cert alice.pem https://shop.test/admin
  postern explain -f manifests/ --follow http://shop.test/
  postern explain --server http://127.0.0.1:8079 https://shop.test/cart
  postern explain --live https://shop.test/cart`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name one URL, as http://HOST/PATH, not %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			request, err := e.asked.request(args[0])
			if err != nil {
				return err
			}
			if err := e.in.checkSource(c, &e.live); err != nil {
				return err
			}
			if e.live.given() {
				return e.ofServer(c, request)
			}
			in, err := e.in.translate(c)
			if err != nil {
				return err
			}
			var story told
			if e.follow {
				story, err = explain.Follow(in.result.Gateway, in.result.Diagnostics, request)
			} else {
				story, err = explain.Explain(in.result.Gateway, in.result.Diagnostics, request)
			}
			if err != nil {
				return err
			}
			if e.output == formatJSON {
				return printJSON(c.OutOrStdout(), story)
			}
			_, err = fmt.Fprint(c.OutOrStdout(), e.text(story))
			return err
		},
	}
	e.in.register(c)
	e.in.registerCluster(c)
	e.live.register(c)
	e.asked.register(c.Flags())
	c.Flags().BoolVar(&e.follow, "follow", false, "go on with the redirects that the gateway itself answers by")
	c.Flags().BoolVar(&e.all, "all", false, "have all of every list in the text: routes that lost or come later, notes, diagnostics")
	outputFlag(c, &e.output, formatText, formatJSON)
	return c
}

// told is a story, or several.
type told interface {
	Text() string
	WholeText() string
}

// explainFlags are the command line of explain.
type explainFlags struct {
	in          input
	live        liveFlags
	asked       requestFlags
	follow, all bool
	output      string
}

func (e *explainFlags) text(story told) string {
	if e.all {
		return story.WholeText()
	}
	return story.Text()
}

// ofServer prints what a live server says.
func (e *explainFlags) ofServer(c *cobra.Command, request explain.Request) error {
	server, done, err := e.live.open(c, &e.in.cluster)
	if err != nil {
		return err
	}
	defer done()
	query := request.Query()
	if e.follow {
		query.Set(explain.KeyFollow, "true")
	}
	open, private := explain.Split(query)
	var answer json.RawMessage
	if err := server.GetWith(c.Context(), "/explain", open, http.Header{explain.PrivateHeader: {private.Encode()}}, &answer); err != nil {
		return err
	}
	// A later server may say more than is known here.
	if e.output == formatJSON {
		return printJSON(c.OutOrStdout(), answer)
	}
	var story told = new(explain.Story)
	if e.follow {
		story = new(explain.Journey)
	}
	if err := json.Unmarshal(answer, story); err != nil {
		return fmt.Errorf("%s: its answer is no story; is it another version of Postern? %w", server, err)
	}
	_, err = fmt.Fprint(c.OutOrStdout(), e.text(story))
	return err
}

// requestFlags are what the command line says of the request.
type requestFlags struct {
	method, from, sni, tls, certificate, user string
	headers                                   []string
	http2                                     bool
}

func (f *requestFlags) register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.method, "request", "X", http.MethodGet, "method of the request")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "header of the request, as 'Name: value'; may be repeated")
	fs.StringVar(&f.from, "from", "127.0.0.1", "IP address of the peer that sends the request")
	fs.StringVar(&f.sni, "sni", "", "host that the client names in its TLS handshake, if not the URL's; - for none")
	fs.StringVar(&f.tls, "tls", "", "highest version of TLS that the client speaks: 1.2 or 1.3 (the default)")
	fs.StringVar(&f.certificate, "client-cert", "", "PEM file with the certificate that the client shows, and those that signed it")
	fs.StringVar(&f.user, "logged-in", "", "`NAME` by which the client has logged in wherever it is asked, its password counting as right")
	fs.BoolVar(&f.http2, "http2", false, "the client speaks HTTP/2")
}

// requestFlag are the flags by the keys of explain's queries, for what is said of a mistake.
var requestFlag = map[string]string{
	explain.KeyURL: "URL ", explain.KeyHeader: "-H ", explain.KeyFrom: "--from ", explain.KeyTLS: "--tls ", explain.KeyCertificate: "--client-cert ",
}

// request is the request for a URL, read as a server reads it.
func (f *requestFlags) request(url string) (explain.Request, error) {
	q := neturl.Values{
		explain.KeyURL: {url}, explain.KeyMethod: {f.method}, explain.KeyFrom: {f.from}, explain.KeyHeader: f.headers,
		explain.KeySNI: {f.sni}, explain.KeyTLS: {f.tls}, explain.KeyUser: {f.user}, explain.KeyHTTP2: {strconv.FormatBool(f.http2)},
	}
	if f.certificate != "" {
		text, err := os.ReadFile(f.certificate)
		if err != nil {
			return explain.Request{}, fmt.Errorf("--client-cert: %w", err)
		}
		q.Set(explain.KeyCertificate, string(text))
	}
	r, err := explain.ParseQuery(q)
	var m *explain.Mistake
	switch {
	case errors.As(err, &m):
		return explain.Request{}, errors.New(requestFlag[m.Key] + m.Text)
	case err != nil:
		return explain.Request{}, err
	}
	r.At = time.Now()
	return r, nil
}
