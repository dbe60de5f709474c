package main

import (
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
	var in input
	var output string
	var asked requestFlags
	c := &cobra.Command{
		Use:   "explain -f PATH URL",
		Short: "Say where a URL goes, and which object and field made it so",
		Long: `Asks the same model that is served: which entry, host and route answer the URL, what becomes
of the request on its way, and which rules lost and why. Nothing is sent anywhere.`,
		Example: `  postern explain -f manifests/ http://node/k8s/
  postern explain -f manifests/ -X POST -H 'X-Forwarded-Proto: https' --from 10.0.0.9 http://shop.test/cart
  postern explain -f manifests/ --client-cert alice.pem https://shop.test/admin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name one URL, as http://HOST/PATH, not %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			request, err := asked.request(args[0])
			if err != nil {
				return err
			}
			in, err := in.translate(c)
			if err != nil {
				return err
			}
			story, err := explain.Explain(in.result.Gateway, in.result.Diagnostics, request)
			if err != nil {
				return err
			}
			if output == formatJSON {
				return printJSON(c.OutOrStdout(), story)
			}
			_, err = fmt.Fprint(c.OutOrStdout(), story.Text())
			return err
		},
	}
	in.register(c)
	in.registerCluster(c)
	asked.register(c.Flags())
	outputFlag(c, &output, formatText, formatJSON)
	return c
}

// requestFlags are what the command line says of the request.
type requestFlags struct {
	method, from, sni, tls, certificate string
	headers                             []string
	http2                               bool
}

func (f *requestFlags) register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.method, "request", "X", http.MethodGet, "method of the request")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "header of the request, as 'Name: value'; may be repeated")
	fs.StringVar(&f.from, "from", "127.0.0.1", "IP address of the peer that sends the request")
	fs.StringVar(&f.sni, "sni", "", "host that the client names in its TLS handshake, if not the URL's; - for none")
	fs.StringVar(&f.tls, "tls", "", "highest version of TLS that the client speaks: 1.2 or 1.3 (the default)")
	fs.StringVar(&f.certificate, "client-cert", "", "PEM file with the certificate that the client shows, and those that signed it")
	fs.BoolVar(&f.http2, "http2", false, "the client speaks HTTP/2")
}

// requestFlag are the flags by the keys of explain's queries, for what is said of a mistake.
var requestFlag = map[string]string{
	explain.KeyHeader: "-H ", explain.KeyFrom: "--from ", explain.KeyTLS: "--tls ", explain.KeyCertificate: "--client-cert ",
}

// request is the request for a URL, read as a server reads it.
func (f *requestFlags) request(url string) (explain.Request, error) {
	q := neturl.Values{
		explain.KeyURL: {url}, explain.KeyMethod: {f.method}, explain.KeyFrom: {f.from}, explain.KeyHeader: f.headers,
		explain.KeySNI: {f.sni}, explain.KeyTLS: {f.tls}, explain.KeyHTTP2: {strconv.FormatBool(f.http2)},
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
