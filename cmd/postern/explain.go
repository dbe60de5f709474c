package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

func explainCommand() *cobra.Command {
	var in input
	var output, method, from string
	var headers []string
	var shake handshake
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
			request, err := explainRequest(method, args[0], headers, from)
			if err != nil {
				return err
			}
			if err := shake.fill(&request); err != nil {
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
	c.Flags().StringVarP(&method, "request", "X", http.MethodGet, "method of the request")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "header of the request, as 'Name: value'; may be repeated")
	c.Flags().StringVar(&from, "from", "127.0.0.1", "IP address of the peer that sends the request")
	c.Flags().StringVar(&shake.sni, "sni", "", "host that the client names in its TLS handshake, if not the URL's; - for none")
	c.Flags().StringVar(&shake.version, "tls", "", "highest version of TLS that the client speaks: 1.2 or 1.3 (the default)")
	c.Flags().StringVar(&shake.certificate, "client-cert", "", "PEM file with the certificate that the client shows, and those that signed it")
	outputFlag(c, &output, formatText, formatJSON)
	return c
}

// handshake is what flags say of the client's TLS.
type handshake struct{ sni, version, certificate string }

func (h handshake) fill(r *explain.Request) error {
	r.SNI, r.TLSVersion, r.At = h.sni, model.TLSVersion(h.version), time.Now()
	if v := r.TLSVersion; v != "" && v != model.TLS12 && v != model.TLS13 {
		return fmt.Errorf("--tls %s: write %s or %s", v, model.TLS12, model.TLS13)
	}
	if h.certificate == "" {
		return nil
	}
	var err error
	if r.ClientCertificate, err = os.ReadFile(h.certificate); err != nil {
		return fmt.Errorf("--client-cert: %w", err)
	}
	return nil
}

func explainRequest(method, rawURL string, headers []string, from string) (explain.Request, error) {
	if !strings.HasPrefix(rawURL, "http://") && !strings.HasPrefix(rawURL, "https://") {
		return explain.Request{}, fmt.Errorf("%s: write a whole URL of http or https, as http://HOST/PATH", rawURL)
	}
	peer, err := netip.ParseAddr(from)
	if err != nil {
		return explain.Request{}, fmt.Errorf("--from %s: it is not an IP address", from)
	}
	h := http.Header{}
	for _, text := range headers {
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return explain.Request{}, fmt.Errorf("-H %q: write 'Name: value'", text)
		}
		if strings.EqualFold(strings.TrimSpace(name), "host") {
			return explain.Request{}, fmt.Errorf("-H %q: name the host in the URL", text)
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return explain.Request{Method: method, URL: rawURL, Header: h, From: peer}, nil
}
