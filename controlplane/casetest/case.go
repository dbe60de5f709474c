// Package casetest is the language of Postern's test cases: one txtar file says what goes in, what must come out, and
// how requests are answered. README.md describes it.
//
// The probes of a case are asked of several judges: the explain engine (here), the Go data plane and a real Envoy
// (package live).
package casetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// The files of a case that have a meaning of their own. Every other *.yaml is manifests; the rest is for flags to name.
const (
	inputFile       = "input.yaml"
	settingsFile    = "settings.yaml"
	backendsFile    = "backends.txt"
	routesFile      = "routes.txt"
	diagnosticsFile = "diagnostics.txt"
	probesFile      = "probes.txt"
	secondFile      = "step2.yaml"
	updateFile      = "update.yaml"
	secondProbes    = "probes2.txt"
	secondTold      = "diagnostics2.txt"
	dnsFile         = "dns.txt"
	secondDNS       = "dns2.txt"
	resentFile      = "resent.txt"
	// authorityFile is the harness's CA, for --upstream-ca.
	authorityFile = "ca.pem"
)

// Case is one txtar file.
type Case struct {
	// Name is the path below the root without its ending: traefik/strip.
	Name string
	// Path is the file, empty for a case that was never one.
	Path string
	// Steps are one or two states of the input, each with its probes.
	Steps []Step
	// Backends say how test backends differ from the usual, by assignment.
	Backends map[string]Backend

	// keeps says that an edit which cannot be served leaves the version before, as in a cluster.
	keeps   bool
	archive *txtar.Archive
	// flags are the settings: flag name to values.
	flags map[string][]string
	// named are the files and folders that flags name.
	named map[string]bool
	// folder holds the files that flags name, empty where they name none. It is made by Load and removed with the test.
	folder string
}

// Step is a state of the input.
type Step struct {
	Probes []Probe
	// files are the manifests, placeholders expanded, sorted by name.
	files []txtar.File
	// names are the answers of DNS.
	names []source.ResolvedName
}

// Load reads all cases below root, sorted by name. There must be one at least. The test owns the folders that they need.
func Load(t testing.TB, root string) []*Case {
	t.Helper()
	var out []*Case
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		c, err := load(t, root, path)
		out = append(out, c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("there is no case below %s", root)
	}
	return out
}

func load(t testing.TB, root, path string) (*Case, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(root, strings.TrimSuffix(path, ".txtar"))
	if err != nil {
		return nil, err
	}
	c, err := Parse(t, filepath.ToSlash(name), data)
	if err != nil {
		return nil, err
	}
	c.Path = path
	return c, nil
}

// Parse reads one case from its text. The test owns the folder that it may need.
func Parse(t testing.TB, name string, text []byte) (*Case, error) {
	c := &Case{Name: name, archive: txtar.Parse(text)}
	if err := c.read(t); err != nil {
		return nil, fmt.Errorf("case %s: %w", name, err)
	}
	return c, nil
}

func (c *Case) read(t testing.TB) error {
	if strings.TrimSpace(string(c.archive.Comment)) == "" {
		return fmt.Errorf("the comment at its top is missing: say what the case shows, and why that is right")
	}
	for _, f := range c.archive.Files {
		if c.count(f.Name) > 1 {
			return fmt.Errorf("file %s stands there twice", f.Name)
		}
	}
	var err error
	if c.Backends, err = parseBackends(c.file(backendsFile)); err != nil {
		return err
	}
	if err := c.readFlags(t); err != nil {
		return err
	}
	if err := c.checkFiles(); err != nil {
		return err
	}
	if err := c.addStep(stepFiles{inputFile, dnsFile, probesFile}); err != nil {
		return err
	}
	second := stepFiles{inputFile, dnsFile, secondProbes}
	for _, name := range []string{secondFile, updateFile} {
		if c.count(name) > 0 {
			second.input, c.keeps = name, name == updateFile
		}
	}
	if c.count(secondDNS) > 0 {
		second.dns = secondDNS
	}
	if second.input != inputFile || second.dns == secondDNS {
		return c.addStep(second)
	}
	for _, name := range []string{secondProbes, secondTold, resentFile} {
		if c.count(name) > 0 {
			return fmt.Errorf("%s without %s, %s or %s", name, secondFile, updateFile, secondDNS)
		}
	}
	return nil
}

// known are the files that are neither manifests nor for a flag.
var known = []string{backendsFile, routesFile, diagnosticsFile, probesFile, secondProbes, secondTold, dnsFile, secondDNS, resentFile}

// checkFiles finds files that nothing would read, most often misspelt ones.
func (c *Case) checkFiles() error {
	for _, f := range c.archive.Files {
		if strings.HasSuffix(f.Name, ".yaml") || slices.Contains(known, f.Name) || c.named[strings.Split(f.Name, "/")[0]] {
			continue
		}
		return fmt.Errorf("file %s is none of %s and no flag names it", f.Name, strings.Join(known, ", "))
	}
	return nil
}

func (c *Case) count(name string) int {
	n := 0
	for _, f := range c.archive.Files {
		if f.Name == name {
			n++
		}
	}
	return n
}

// file is a file's content, nil where it is not there.
func (c *Case) file(name string) []byte {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// stepFiles are the names of a step's own files.
type stepFiles struct{ input, dns, probes string }

// addStep adds a state; its input takes the place of input.yaml.
func (c *Case) addStep(names stepFiles) error {
	var s Step
	input, probes := names.input, names.probes
	for _, f := range c.archive.Files {
		switch {
		case !strings.HasSuffix(f.Name, ".yaml") || f.Name == settingsFile:
			continue
		case f.Name == input:
			f.Name = inputFile
		case f.Name == inputFile || f.Name == secondFile || f.Name == updateFile:
			continue
		}
		data, err := expand(string(f.Data), base64Form)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		s.files = append(s.files, txtar.File{Name: f.Name, Data: []byte(data)})
	}
	slices.SortFunc(s.files, func(a, b txtar.File) int { return strings.Compare(a.Name, b.Name) })
	var err error
	if s.names, err = parseNames(names.dns, c.file(names.dns)); err != nil {
		return err
	}
	if s.Probes, err = ParseProbes(probes, c.file(probes)); err != nil {
		return err
	}
	c.Steps = append(c.Steps, s)
	return nil
}

// readFlags reads settings.yaml and lays out the files that its values name.
func (c *Case) readFlags(t testing.TB) error {
	var settings map[string]any
	if err := yaml.UnmarshalStrict(c.file(settingsFile), &settings); err != nil {
		return fmt.Errorf("%s: %w", settingsFile, err)
	}
	c.flags, c.named = map[string][]string{}, map[string]bool{}
	for flag, value := range settings {
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, v := range values {
			text := fmt.Sprint(v)
			if c.names(text) {
				if err := c.layOut(t); err != nil {
					return err
				}
				c.named[strings.Split(text, "/")[0]] = true
				text = filepath.Join(c.folder, text)
			}
			c.flags[flag] = append(c.flags[flag], text)
		}
	}
	return nil
}

// names says whether a setting's value is a file of the case or a folder of such.
func (c *Case) names(value string) bool {
	return value == authorityFile || value != "" && slices.ContainsFunc(c.archive.Files, func(f txtar.File) bool {
		return f.Name == value || strings.HasPrefix(f.Name, value+"/")
	})
}

// layOut writes the case's files, and the CA, into a folder.
func (c *Case) layOut(t testing.TB) error {
	if c.folder != "" {
		return nil
	}
	c.folder = t.TempDir()
	all := append(slices.Clone(c.archive.Files), txtar.File{Name: authorityFile, Data: AuthorityPEM(SignedByCA)})
	for _, f := range all {
		data, err := expand(string(f.Data), pemForm)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		path := filepath.Join(c.folder, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Settings are the case's flags as the translator's settings. Where no default certificate is given, it is the
// self-signed one that postern up would make.
func (c *Case) Settings() (translator.Settings, error) {
	var o options.Options
	fs := pflag.NewFlagSet("case", pflag.ContinueOnError)
	o.Register(fs)
	for flag, values := range c.flags {
		for _, v := range values {
			if err := fs.Set(flag, v); err != nil {
				return translator.Settings{}, fmt.Errorf("%s: %s: %w", settingsFile, flag, err)
			}
		}
	}
	s, err := o.Settings()
	if err != nil {
		return translator.Settings{}, fmt.Errorf("%s: %w", settingsFile, err)
	}
	hasTLS := slices.ContainsFunc(s.Resolve.Entries, func(e model.Entry) bool { return e.TLS })
	if hasTLS && s.Resolve.DefaultCertificate == nil {
		s.Resolve.DefaultCertificate, err = selfSigned()
	}
	return s, err
}

// World is the objects of a step.
func (s Step) World() (source.World, error) {
	var parts []source.World
	for _, f := range s.files {
		w, err := files.Decode(f.Name, f.Data)
		if err != nil {
			return source.World{}, err
		}
		parts = append(parts, w)
	}
	parts = append(parts, source.World{Names: s.names})
	return files.Merge(parts...), nil
}

// World is the case's first input and its settings.
func (c *Case) World(t testing.TB) (source.World, translator.Settings) {
	t.Helper()
	settings, err := c.Settings()
	if err != nil {
		t.Fatalf("%s: %v", c.Path, err)
	}
	w, err := c.Steps[0].World()
	if err != nil {
		t.Fatalf("%s: %v", c.Path, err)
	}
	return w, settings
}

// Golden is a golden file as it stands in the case, empty where it is not there.
func (c *Case) Golden(name string) string { return string(c.file(name)) }

// checkBackends finds names in backends.txt that no step has.
func (c *Case) checkBackends(results []translator.Result) error {
	for name := range c.Backends {
		if !slices.ContainsFunc(results, func(r translator.Result) bool {
			return slices.ContainsFunc(r.Gateway.Assignments, func(a model.Assignment) bool { return a.Name == name })
		}) {
			return fmt.Errorf("%s: no assignment is called %s", backendsFile, name)
		}
	}
	return nil
}

// Translate is the translation of each step.
func (c *Case) Translate() ([]translator.Result, error) {
	settings, err := c.Settings()
	if err != nil {
		return nil, err
	}
	var served source.World
	var out []translator.Result
	for _, s := range c.Steps {
		w, err := s.World()
		if err != nil {
			return nil, err
		}
		kept := c.Next(served, w, settings)
		served = kept.World
		out = append(out, kept.Result)
	}
	return out, errors.Join(c.checkBackends(out), c.checkNames(out))
}

// Next is what is served of a step's World after that of the step before, which is empty at first.
func (c *Case) Next(before, now source.World, s translator.Settings) translator.Kept {
	if c.keeps {
		return translator.Keep(now, translator.Keeping{Before: before}, s)
	}
	return translator.Kept{World: now, Result: translator.Translate(now, s)}
}
