package browser

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

const (
	root    = "../.."
	example = "docs/examples/kubernetes-dashboard"
	// patience bounds every wait of these tests.
	patience = 20 * time.Second
)

// build builds a program of the root module, as it is released.
func build(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(pkg))
	command := exec.Command("go", "build", "-o", binary, "./"+pkg)
	command.Dir, command.Env = root, append(os.Environ(), "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// postern is the binary under test: that of POSTERN, which make test sets, or one built here.
func postern(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("POSTERN"); path != "" {
		return path
	}
	return build(t, "cmd/postern")
}

// start runs a program until the test ends and waits for a line of its output that matches each of the patterns; their
// first groups are the result.
func start(t *testing.T, patterns []string, program string, args ...string) []string {
	t.Helper()
	command := exec.Command(program, args...)
	out, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	err = command.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan []string, 1)
	var log strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() { read(out, patterns, found, &log) })
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		late := time.AfterFunc(patience, func() { command.Process.Kill() })
		err := command.Wait()
		late.Stop()
		reading.Wait()
		out.Close()
		if err != nil {
			t.Errorf("%s ends with %v", filepath.Base(program), err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), log.String())
		}
	})
	select {
	case groups := <-found:
		if groups == nil {
			t.Fatalf("%s ended before it served", program)
		}
		return groups
	case <-time.After(patience):
		t.Fatalf("%s does not serve in time", program)
	}
	return nil
}

// read keeps what comes, and sends the groups of the patterns once all were found; nil where the output ends before.
func read(from io.Reader, patterns []string, found chan<- []string, log *strings.Builder) {
	groups := make([]string, len(patterns))
	waiting := len(patterns)
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		for i, pattern := range patterns {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(lines.Text()); m != nil && groups[i] == "" {
				groups[i] = m[len(m)-1]
				waiting--
			}
		}
		if waiting == 0 {
			found <- slices.Clone(groups)
			waiting--
		}
	}
	if waiting > 0 {
		found <- nil
	}
}

// An app is the example app with the manifests that lead to it.
type app struct{ manifests string }

// newApp starts the app on free ports and writes the example's manifests with those, and more manifests beside them.
func newApp(t *testing.T, more string) app {
	t.Helper()
	sites := start(t, []string{`dashboard on https://127.0.0.1:(\d+)/`, `about page on http://127.0.0.1:(\d+)/`, `chart catalog on http://127.0.0.1:(\d+)/`},
		build(t, example+"/app"), "--listen", "127.0.0.1:0", "--about-listen", "127.0.0.1:0", "--catalog-listen", "127.0.0.1:0")
	a := app{manifests: t.TempDir()}
	files, err := filepath.Glob(filepath.Join(root, example, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the example has no manifests: %v", err)
	}
	ports := strings.NewReplacer("port: 9443\n", "port: "+sites[0]+"\n", "port: 9080\n", "port: "+sites[1]+"\n", "port: 9081\n", "port: "+sites[2]+"\n")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a.write(t, filepath.Base(file), ports.Replace(string(text)))
	}
	a.write(t, "more.yaml", more)
	return a
}

func (a app) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.manifests, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A gateway is postern up in front of the app.
type gateway struct{ http, https string }

func (a app) serve(t *testing.T, binary, dataPlane string, flags ...string) gateway {
	t.Helper()
	var g gateway
	g.http, g.https = traffic.Entries(t)
	start(t, []string{`^serving `}, binary, append([]string{
		"up", "-f", a.manifests, "--http", g.http, "--https", g.https, "--data-plane", dataPlane,
		"--ingress-selector", "app=traefik", "--upstream-insecure-skip-verify",
	}, flags...)...)
	return g
}

// url is a path at the entry of a scheme.
func (g gateway) url(scheme, path string) string {
	if scheme == "http" {
		return "http://" + g.http + path
	}
	return "https://" + g.https + path
}
