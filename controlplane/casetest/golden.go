package casetest

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// Goldens compares what comes of the cases below root with their golden files; with UPDATE=1 it writes those anew. A file
// that is no case is an error: nothing reads it.
func Goldens(t *testing.T, root string) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) != ".txtar" {
			t.Errorf("%s is no case: nothing reads it", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Load(t, root) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			results, err := c.Translate()
			if err != nil {
				t.Fatal(err)
			}
			c.compare(t, c.goldens(results))
		})
	}
}

// goldens are the golden files, in their order in a case.
func (c *Case) goldens(results []translator.Result) []txtar.File {
	out := []txtar.File{
		{Name: routesFile, Data: []byte(explain.Print(results[0].Gateway))},
		{Name: diagnosticsFile, Data: told(results[0])},
	}
	if len(results) > 1 {
		out = append(out, txtar.File{Name: secondTold, Data: told(results[1])},
			txtar.File{Name: resentFile, Data: []byte(strings.Join(Resent(results[0], results[1]), "\n") + "\n")})
	}
	return out
}

func told(r translator.Result) []byte {
	var out bytes.Buffer
	for _, d := range r.Diagnostics {
		out.WriteString(d.String() + "\n")
	}
	return out.Bytes()
}

func (c *Case) compare(t *testing.T, goldens []txtar.File) {
	t.Helper()
	if os.Getenv("UPDATE") != "1" {
		for _, g := range goldens {
			if have := c.file(g.Name); !bytes.Equal(bytes.TrimSpace(have), bytes.TrimSpace(g.Data)) {
				t.Errorf("%s: %s differs; UPDATE=1 go test writes it anew.\n%s", c.Path, g.Name, lineDiff(string(have), string(g.Data)))
			}
		}
	}
	c.put(goldens)
	text := txtar.Format(c.archive)
	old, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case bytes.Equal(old, text) || t.Failed():
	case os.Getenv("UPDATE") != "1":
		t.Errorf("%s is written otherwise; UPDATE=1 go test writes it anew.\n%s", c.Path, lineDiff(string(old), string(text)))
	default:
		if err := os.WriteFile(c.Path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// put has the case hold the goldens, in place or before the probes.
func (c *Case) put(goldens []txtar.File) {
	for _, g := range goldens {
		i := slices.IndexFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == g.Name })
		switch {
		case i >= 0 && len(g.Data) == 0:
			c.archive.Files = slices.Delete(c.archive.Files, i, i+1)
		case i >= 0:
			c.archive.Files[i].Data = g.Data
		case len(g.Data) > 0:
			at := slices.IndexFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == probesFile })
			if at < 0 || g.Name == secondTold || g.Name == resentFile {
				at = len(c.archive.Files)
			}
			c.archive.Files = slices.Insert(c.archive.Files, at, g)
		}
	}
}

// lineDiff shows the lines that only one side has. It does not find moved lines; a golden's reader sees enough.
func lineDiff(want, got string) string {
	w, g := strings.Split(strings.TrimSpace(want), "\n"), strings.Split(strings.TrimSpace(got), "\n")
	var b strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}

// typeWords are the words by which reports call the types.
var typeWords = map[string]string{
	envoy.TypeListener: "listeners", envoy.TypeRoute: "routes", envoy.TypeCluster: "clusters",
	envoy.TypeEndpoint: "endpoints", envoy.TypeSecret: "secrets",
}

// ResourceLine is a resource as resent.txt names it.
func ResourceLine(sign, typeURL, name string) string {
	return sign + " " + cmp.Or(typeWords[typeURL], typeURL) + " " + name
}

// Resent says exactly which resources travel when one translation follows another: "+ TYPE NAME" for one that is new or
// changed, "- TYPE NAME" for one that goes. A cluster that travels brings its endpoints, be they the same (package xds).
// Certificates are named by the host that they are served for; they travel only where a client has asked for them.
func Resent(before, after translator.Result) []string {
	old, now := bytesOf(before), bytesOf(after)
	var out []string
	for line, b := range now {
		if !bytes.Equal(old[line], b) {
			out = append(out, "+ "+line)
		}
	}
	for line := range old {
		if _, stays := now[line]; !stays {
			out = append(out, "- "+line)
		}
	}
	for _, b := range after.Gateway.Backends {
		if slices.Contains(out, ResourceLine("+", envoy.TypeCluster, b.Name)) {
			out = append(out, ResourceLine("+", envoy.TypeEndpoint, b.Assignment))
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(a[2:], b[2:]), cmp.Compare(a, b)) })
	return slices.Compact(out)
}

// bytesOf maps each resource's line, without a sign, to its bytes.
func bytesOf(r translator.Result) map[string][]byte {
	out := map[string][]byte{}
	for _, res := range r.Resources {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(res.Message)
		if err != nil {
			panic(fmt.Sprintf("casetest: %s %s: %v", res.TypeURL, res.Name, err))
		}
		out[ResourceLine("", res.TypeURL, res.Name)[1:]] = b
	}
	certificates := map[string]model.Certificate{}
	for _, c := range r.Gateway.Certificates {
		certificates[c.Host.Name()] = c
	}
	if r.Gateway.Default != nil {
		certificates[envoy.DefaultSecretName] = *r.Gateway.Default
	}
	for name, c := range certificates {
		out[ResourceLine("", envoy.TypeSecret, name)[1:]] = slices.Concat(c.Chain, c.Key)
	}
	return out
}
