package envoyproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// Version is the Envoy that Postern is tested with.
	Version = "1.40.0"
	// versionWanted is what a binary must be of, to pass without a warning.
	versionWanted = "1.40."
	// versionTimeout bounds envoy --version, which takes some 30 ms.
	versionTimeout = 10 * time.Second
	howToGet       = "run `make envoy`, or name a binary with --envoy-path or the variable ENVOY"
)

// Find returns the path of the Envoy binary: path if it is not empty, else $ENVOY, else the one that `make envoy` put
// into the cache, else envoy on the PATH. The error is a sentence that says what to do.
func Find(path string) (string, error) {
	if path != "" {
		return executable(path, "")
	}
	if env := os.Getenv("ENVOY"); env != "" {
		return executable(env, " (from the variable ENVOY)")
	}
	if found := cached(); found != "" {
		return found, nil
	}
	if found, err := exec.LookPath("envoy"); err == nil {
		return found, nil
	}
	return "", errors.New("there is no Envoy on this machine: " + howToGet)
}

func executable(path, whence string) (string, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("%s%s is no program that can be run: %s", path, whence, howToGet)
	}
	return found, nil
}

// cached is the binary within the virtual environment that `make envoy` makes; empty if there is none.
func cached() string {
	cache := os.Getenv("POSTERN_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		cache = filepath.Join(home, ".cache", "postern")
	}
	found, err := filepath.Glob(filepath.Join(cache, "envoy-"+Version, "lib", "python3*", "site-packages", "envoy", "_bin", "envoy"))
	if err != nil {
		return "" // Only a pattern of ours can be wrong, or a cache path with brackets.
	}
	slices.Sort(found)
	for _, path := range found {
		if _, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	return ""
}

// versionOf asks the binary for its version: 1.40.0.
func versionOf(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	// envoy  version: <commit>/<version>/<tree>/<build>/<tls library>
	_, words, _ := strings.Cut(string(out), "version: ")
	parts := strings.Split(words, "/")
	if len(parts) < 3 {
		return "", fmt.Errorf("ask %s for its version: it says %q", path, strings.TrimSpace(string(out)))
	}
	return parts[1], nil
}
