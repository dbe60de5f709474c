package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
)

func translateCommand() *cobra.Command {
	var in input
	var output, to string
	c := &cobra.Command{
		Use:   "translate -f PATH",
		Short: "Print the xDS resources that manifests become, or one file that Envoy runs",
		Long: `Translates the manifests and prints every xDS resource with the objects behind it.
Certificates are served on demand by SNI; of those, the name and origin are printed, never the key.

-o bootstrap prints one file that "envoy -c FILE" runs by itself. It holds the private keys of its
certificates, each of which is a filter chain there; it follows no edit.

Diagnostics go to standard error. Exit code 1 only where the manifests could not be read or the
result not be written.`,
		Example: `  postern translate -f manifests/
  postern translate -f manifests/ -o json | jq '.resources[].name'
  postern translate -f manifests/ -o bootstrap --to envoy.yaml && envoy -c envoy.yaml`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			in, err := in.translate(c)
			if err != nil {
				return err
			}
			for _, d := range in.result.Diagnostics {
				if d.Severity > diag.Info {
					fmt.Fprintln(c.ErrOrStderr(), d)
				}
			}
			text, err := rendered(in, output, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if to != "" {
				return writeAlone(to, text)
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	in.register(c)
	in.registerCluster(c)
	outputFlag(c, &output, formatYAML, formatJSON, formatBootstrap)
	c.Flags().StringVar(&to, "to", "", "write to `FILE`, which nobody but its owner may read, instead of standard output")
	return c
}

// rendered is a translation in one of the formats; what must be known of a bootstrap is told.
func rendered(in translated, format string, tell io.Writer) ([]byte, error) {
	if format != formatBootstrap {
		return resources(in.result, format)
	}
	b := static.Bootstrap(in.result)
	if keys := static.Keys(b); keys > 0 {
		fmt.Fprintf(tell, "the bootstrap holds private keys (%d): let nobody else read it (--to FILE writes it so)\n", keys)
		fmt.Fprintln(tell, "certificates, which are served on demand over xDS, are filter chains in it; it follows no edit of the manifests")
	}
	if in.selfSigned {
		fmt.Fprintln(tell, "names without a certificate of their own get a self-signed one, made for this file (see --tls-cert-dir)")
	}
	if in.withoutCAs {
		fmt.Fprintln(tell, "this system has no CAs: backends that speak https need --upstream-ca FILE, and answer 503 without")
	}
	if asks := static.Authorizing(b); asks > 0 {
		fmt.Fprintf(tell, "who the user is, and how many requests are answered at once, a process beside Envoy decides, and a file has none: %d routes answer 503 (docs/design/authorization.md)\n", asks)
	}
	if names := in.result.Gateway.OutsideNames; len(names) > 0 {
		fmt.Fprintf(tell, "hosts outside of the cluster are resolved by a control plane, and there is none: the paths that lead to %s answer 503\n", strings.Join(names, ", "))
	}
	if n := static.Keys(b); n > certificatesMax {
		fmt.Fprintf(tell, "with %d certificates Envoy takes long to start, and much memory: every filter chain has all routes\n", n)
	}
	text, err := static.File(b)
	if err != nil {
		return nil, err
	}
	return static.WithModel(text, in.result.Gateway, in.made)
}

// certificatesMax is how many certificates a bootstrap may have without a word: 50 hosts with a certificate each take
// half a second and 150 MB to start, 200 take 5 seconds and 1.2 GB.
const certificatesMax = 50

// writeAlone replaces a file by one that only its owner may read; whoever reads it sees the old text or the new one.
func writeAlone(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// printed is the form of one resource in the output.
type printed struct {
	Type     string          `json:"type"`
	Name     string          `json:"name"`
	Origins  []string        `json:"origins"`
	Resource json.RawMessage `json:"resource"`
}

// printedCertificate tells of a certificate without any of its bytes.
type printedCertificate struct {
	Host    string   `json:"host"`
	Origins []string `json:"origins"`
}

// resources are the xDS resources with their origins, as YAML or JSON.
func resources(result translator.Result, format string) ([]byte, error) {
	var all struct {
		Resources    []printed            `json:"resources"`
		Certificates []printedCertificate `json:"certificates,omitempty"`
	}
	for _, r := range result.Resources {
		body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r.Printable())
		if err != nil {
			return nil, fmt.Errorf("print %s %s: %w", r.TypeURL, r.Name, err)
		}
		all.Resources = append(all.Resources, printed{Type: r.TypeURL, Name: r.Name, Origins: originTexts(r.Origins), Resource: body})
	}
	for _, c := range result.Gateway.Certificates {
		all.Certificates = append(all.Certificates, printedCertificate{Host: c.Host.String(), Origins: originTexts(c.Origins)})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil && format == formatYAML {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return nil, fmt.Errorf("print the resources: %w", err)
	}
	return append(text, '\n'), nil
}

func originTexts(origins []diag.Origin) []string {
	var out []string
	for _, o := range origins {
		text := o.String()
		if pos := o.Position(); pos != "" {
			text += " (" + pos + ")"
		}
		out = append(out, text)
	}
	return out
}
