package translator_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/postern-gateway/postern/"

// bans are the imports that would make the design a drawing. Each holds for every non-test file below the folder.
var bans = []struct {
	folder string
	banned []string
	except []string
	reason string
}{
	{"translator/diag", []string{module, "k8s.io/", "github.com/envoyproxy/"}, nil,
		"diagnostics stand below everything"},
	{"translator/model", []string{module, "k8s.io/", "github.com/"}, []string{module + "translator/diag"},
		"the model is what dialects and Envoy meet in, so it knows neither"},
	{"translator/envoy", []string{"k8s.io/", module}, []string{module + "translator/diag", module + "translator/model"},
		"rendering sees the resolved model only"},
	{"translator/explain", []string{module, "github.com/envoyproxy/"}, []string{module + "translator/diag", module + "translator/model"},
		"explain judges the model by itself; with another's matching code it would share its mistakes"},
	{"translator/diff", []string{module, "k8s.io/", "github.com/envoyproxy/"}, []string{module + "translator/diag", module + "translator/model", module + "translator/explain"},
		"two gateways are compared by the model and by what explain says of it"},
	{"translator/dialect", []string{"k8s.io/client-go", "github.com/envoyproxy/", module + "translator/resolve", module + "translator/envoy"}, nil,
		"a dialect reads one object and nothing else"},
	{"translator/resolve", []string{module + "translator/dialect", module + "translator/envoy", "github.com/envoyproxy/"}, nil,
		"after the claims nobody knows which dialect spoke"},
	{"translator", []string{module + "controlplane", module + "dataplane", "k8s.io/client-go", "log/slog", "net/http/httptest"}, nil,
		"the translator is pure: values in, values out"},
	{"dataplane", []string{module + "translator", module + "controlplane", "k8s.io/"}, nil,
		"the Go data plane is an independent reader of our output"},
}

func TestImports(t *testing.T) {
	for _, ban := range bans {
		files := goFiles(t, filepath.Join("..", ban.folder))
		if len(files) == 0 {
			t.Errorf("%s has no Go files: the ban guards nothing", ban.folder)
		}
		for _, file := range files {
			for _, imported := range imports(t, file) {
				if hasAnyPrefix(imported, ban.banned) && !hasAnyPrefix(imported, ban.except) && !strings.HasPrefix(imported, module+ban.folder) {
					t.Errorf("%s imports %s: %s", file, imported, ban.reason)
				}
			}
		}
	}
}

// TestPure keeps clocks, environment, files and goroutines out of the translator.
func TestPure(t *testing.T) {
	for _, file := range goFiles(t, ".") {
		// docgen writes files; mutate draws, from a seed that it is given.
		if strings.HasPrefix(file, "docgen/") || strings.HasPrefix(file, "mutate/") {
			continue
		}
		for _, imported := range imports(t, file) {
			switch imported {
			case "os", "context", "crypto/rand", "net", "net/http/httputil", "path/filepath", "runtime", "unsafe", "sync", "sync/atomic", "log", "math/rand", "math/rand/v2", "os/exec", "io/fs":
				t.Errorf("%s imports %s: the translator is pure", file, imported)
			}
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt:
				t.Errorf("%s starts or talks to a goroutine: the translator is pure", file)
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok && of.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Tick", "NewTimer", "Sleep"}, n.Sel.Name) {
					t.Errorf("%s asks for the time: the translator is pure", file)
				}
			}
			return true
		})
	}
}

func goFiles(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	return out
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
