package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
)

func translateCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "translate -f PATH",
		Short: "Print the xDS resources that manifests become",
		Long: `Translates the manifests and prints every xDS resource with the objects behind it.
Certificates are served on demand by SNI; of those, the name and origin are printed, never the key.
Diagnostics go to standard error. Exit code 1 only where the manifests could not be read.`,
		Example: `  postern translate -f manifests/
  postern translate -f manifests/ -o json | jq '.resources[].name'`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			in, err := in.translate(c.InOrStdin())
			if err != nil {
				return err
			}
			for _, d := range in.result.Diagnostics {
				if d.Severity > diag.Info {
					fmt.Fprintln(c.ErrOrStderr(), d)
				}
			}
			return printResources(c.OutOrStdout(), in.result, output)
		},
	}
	in.register(c)
	outputFlag(c, &output, "yaml", "json")
	return c
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

func printResources(w io.Writer, result translator.Result, output string) error {
	var all struct {
		Resources    []printed            `json:"resources"`
		Certificates []printedCertificate `json:"certificates,omitempty"`
	}
	for _, r := range result.Resources {
		body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r.Message)
		if err != nil {
			return fmt.Errorf("print %s %s: %w", r.TypeURL, r.Name, err)
		}
		all.Resources = append(all.Resources, printed{Type: r.TypeURL, Name: r.Name, Origins: originTexts(r.Origins), Resource: body})
	}
	for _, c := range result.Gateway.Certificates {
		all.Certificates = append(all.Certificates, printedCertificate{Host: c.Host.String(), Origins: originTexts(c.Origins)})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil && output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("print the resources: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
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
