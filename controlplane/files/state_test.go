package files

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// settings is a ConfigMap whose value tells versions apart.
func settings(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {value: %q}\n", name, value)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// values prints the ConfigMaps of a World: a=1 b=2, and the codes of its diagnostics.
func values(w source.World) string {
	var out []string
	for _, c := range w.ConfigMaps {
		out = append(out, c.Name+"="+c.Data["value"])
	}
	slices.Sort(out)
	for _, d := range diag.Sort(w.Diagnostics) {
		out = append(out, string(d.Code))
	}
	return strings.Join(out, " ")
}

func read(t *testing.T, paths ...string) *State {
	t.Helper()
	s, err := Read(paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadFolders(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/b.yml", settings("b", "1"))
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/sub/deep/c.json", `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"value": "1"}}`)
	write(t, "dir/.hidden.yaml", settings("hidden", "1"))
	write(t, "dir/.git/x.yaml", settings("hidden", "2"))
	write(t, "dir/README.md", "# no manifest")
	write(t, "named.txt", settings("named", "1"))
	write(t, "empty/.keep", "")
	if err := os.Symlink("..", "dir/sub/up"); err != nil {
		t.Fatal(err)
	}
	s := read(t, "./dir/", "dir/a.yaml", "named.txt", "empty", ".//named.txt")
	if got, want := values(s.World()), "a=1 b=1 c=1 named=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := strings.Join(s.Files(), " "), "dir/a.yaml dir/b.yml dir/sub/deep/c.json named.txt"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReadNamesEverythingThatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/z.yaml", "a: 1\nb 2\n")
	write(t, "dir/b.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: 1}\n")
	write(t, "dir/good.yaml", settings("a", "1"))
	if err := os.Symlink("nowhere", "dir/c.yaml"); err != nil {
		t.Fatal(err)
	}
	_, err := Read([]string{"missing", "dir", "-"}, Options{Stdin: strings.NewReader("a\n")})
	want := `dir/b.yaml:3: metadata.name is a number and must be a string: put it in quotes
read dir/c.yaml: the symbolic link leads nowhere
dir/z.yaml:2: there is no ':' after the key
read missing: file does not exist
stdin:1: the document is a string and must be an object with apiVersion and kind`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if _, err := Read([]string{"-"}, Options{}); err == nil {
		t.Error("a missing standard input is no error")
	}
}

func TestReadStdinAndPipes(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile("pipe", []byte(settings("piped", "1")), 0) }()
	s, err := Read([]string{"-", "pipe", "-"}, Options{Stdin: strings.NewReader(settings("in", "1"))})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if got, want := values(s.World()), "in=1 piped=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.World().ConfigMaps[0].File + " " + s.World().ConfigMaps[1].File; got != "pipe stdin" {
		t.Errorf("got the files %s", got)
	}
	_, err = Read([]string{"-"}, Options{Stdin: io.MultiReader(strings.NewReader(strings.Repeat("#\n", fileSizeMax/2)), strings.NewReader("more"))})
	if err == nil || !strings.HasPrefix(err.Error(), "stdin: the file is larger than 16 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestDuplicatesByFileThenLine(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/b.yaml", settings("one", "b"))
	write(t, "dir/a.yaml", settings("two", "a1")+"---\n"+settings("one", "a2")+"---\n"+settings("two", "a3"))
	w := read(t, "dir/b.yaml", "dir/a.yaml").World()
	if got, want := values(w), "one=a2 two=a1 P1003 P1003"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var places []string
	for _, d := range w.Diagnostics {
		places = append(places, d.Origin.Position()+" "+d.Others[0].Position())
	}
	slices.Sort(places)
	if got, want := strings.Join(places, ", "), "dir/a.yaml:11 dir/a.yaml:1, dir/b.yaml:1 dir/a.yaml:6"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
