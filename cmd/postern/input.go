package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// input is what every command that translates takes: manifests and the flags that decide how they are served.
type input struct {
	paths   []string
	options options.Options
}

func (in *input) register(c *cobra.Command) {
	c.Flags().StringSliceVarP(&in.paths, "filename", "f", nil, "file or folder of manifests at `PATH`, - for standard input; may be repeated")
	in.options.Register(c.Flags())
}

func (in *input) check() error {
	if len(in.paths) == 0 {
		return errors.New("-f PATH is missing: name a file or folder of manifests, or - for standard input")
	}
	return nil
}

// translated is what the manifests were, and what became of them.
type translated struct {
	world  source.World
	result translator.Result
	// selfSigned says that the default certificate was made up, withoutCAs that no backend's can be verified.
	selfSigned, withoutCAs bool
}

// translate reads and translates the manifests once, as postern up would.
func (in *input) translate(stdin io.Reader) (translated, error) {
	if err := in.check(); err != nil {
		return translated{}, err
	}
	settings, err := in.options.Settings()
	if err != nil {
		return translated{}, err
	}
	selfSigned, err := options.EnsureCertificate(&settings)
	if err != nil {
		return translated{}, err
	}
	state, err := files.Read(in.paths, files.Options{Stdin: stdin})
	if err != nil {
		return translated{}, err
	}
	out := translated{
		world:      state.World(),
		withoutCAs: len(settings.Resolve.Edge.UpstreamTrust) == 0 && !settings.Resolve.UpstreamSkipVerify,
	}
	out.result = translator.Translate(out.world, settings)
	// A Secret may have taken the place of what was made up.
	out.selfSigned = selfSigned && out.result.Gateway.Default == settings.Resolve.DefaultCertificate
	return out, nil
}

// onlyFlags refuses arguments, most often a path without -f or a value of a flag that takes it by = only.
func onlyFlags(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q belongs to no flag: manifests are given by -f PATH, true and false by --FLAG=VALUE", args[0])
	}
	return nil
}

// The values of -o.
const (
	formatText      = "text"
	formatJSON      = "json"
	formatYAML      = "yaml"
	formatBootstrap = "bootstrap"
)

// printJSON writes what programs read.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// outputFlag is -o with its accepted values, the first being the default.
func outputFlag(c *cobra.Command, target *string, values ...string) {
	last := len(values) - 1
	accepted := strings.Join(values[:last], ", ") + " or " + values[last]
	c.Flags().StringVarP(target, "output", "o", values[0], "`FORMAT` of the output: "+accepted)
	if err := c.RegisterFlagCompletionFunc("output", words(values...)); err != nil {
		panic(err)
	}
	c.PreRunE = func(*cobra.Command, []string) error {
		if slices.Contains(values, *target) {
			return nil
		}
		if near, ok := diag.Nearest(*target, values); ok {
			return fmt.Errorf("-o %s: write %s; did you mean %s?", *target, accepted, near)
		}
		return fmt.Errorf("-o %s: write %s", *target, accepted)
	}
}
