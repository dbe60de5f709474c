// Package processes runs the repository's programs beside a test's cluster, as its pods would.
package processes

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/namespace"
	"github.com/postern-gateway/postern/integration/cluster"
)

const (
	// Postern is the variable with the path of the binary; make test sets it.
	Postern = "POSTERN"
	// Root is the folder of the root module, to the tests of a package of this one.
	Root = "../.."
	// WaitMax is a hang limit, not a measure.
	WaitMax = 2 * time.Minute
	// askEvery is the pause between two looks at what is waited for, for the machine's sake.
	askEvery = 20 * time.Millisecond
)

// Main is cluster.Main for tests that run programs: the binary, and those of further packages, each by the variable that its
// path is found in. What no variable names is built before the tests, which have no way to the Go module proxy.
func Main(m *testing.M, further map[string]string) int {
	if namespace.Inside() {
		return cluster.Main(m)
	}
	folder, err := os.MkdirTemp("", "processes")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	programs := map[string]string{Postern: "./cmd/postern"}
	maps.Copy(programs, further)
	for _, variable := range slices.Sorted(maps.Keys(programs)) {
		if os.Getenv(variable) != "" {
			continue
		}
		program := filepath.Join(folder, variable)
		build := exec.Command("go", "build", "-trimpath", "-o", program, programs[variable])
		build.Dir, build.Env = Root, append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build %s: %v\n%s", programs[variable], err, out)
			return 1
		}
		_ = os.Setenv(variable, program)
	}
	return cluster.Main(m)
}

// Eventually tries until there is no error.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.After(WaitMax)
	again := time.NewTicker(askEvery)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %v", what, WaitMax, strings.TrimSpace(err.Error()))
		}
	}
}

// Get gives the body of an answer 200, over a connection of its own.
func Get(url string) (string, error) {
	return GetBy(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: WaitMax}, url)
}

// GetBy gives the body of an answer 200 to a client.
func GetBy(client *http.Client, url string) (body string, err error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// Scrape gives the series of /metrics at an address, by name with labels.
func Scrape(address string) (map[string]string, error) {
	text, err := Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			out[line[:at]] = line[at+1:]
		}
	}
	return out, nil
}
