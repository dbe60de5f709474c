// Package binaries builds kube-apiserver, etcd and kubectl from their Go modules, and keeps them in Postern's cache.
package binaries

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
)

// cacheVariable is where the cache is, as for Envoy (.ci/envoy); by default it is in the home.
const cacheVariable = "POSTERN_CACHE"

//go:embed kubernetes.mod
var module []byte

//go:embed kubernetes.sum
var sums []byte

// Folder holds the programs.
type Folder string

// APIServer is the path of kube-apiserver.
func (f Folder) APIServer() string { return filepath.Join(string(f), "kube-apiserver") }

// Etcd is the path of etcd.
func (f Folder) Etcd() string { return filepath.Join(string(f), "etcd") }

// Kubectl is the path of kubectl.
func (f Folder) Kubectl() string { return filepath.Join(string(f), "kubectl") }

// Find is the folder of the pinned programs. Where they are not there yet they are built, which takes minutes and the Go
// module proxy, and is told on log; whoever else wants them meanwhile waits.
func Find(log io.Writer) (Folder, error) {
	cache := os.Getenv(cacheVariable)
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the cache: set %s: %w", cacheVariable, err)
		}
		cache = filepath.Join(home, ".cache", "postern")
	}
	version := regexp.MustCompile(`\bk8s\.io/kubernetes v(\S+)`).FindSubmatch(module)
	if version == nil {
		panic("kubernetes.mod does not require k8s.io/kubernetes")
	}
	pins := sha256.Sum256(append(bytes.Clone(module), sums...))
	folder := Folder(filepath.Join(cache, fmt.Sprintf("kubernetes-%s-%x", version[1], pins[:6])))
	if folder.whole() {
		return folder, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(string(folder) + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if folder.whole() {
		return folder, nil // Another process was quicker.
	}
	fmt.Fprintf(log, "cluster: building kube-apiserver and kubectl %s and etcd into %s\n", version[1], folder)
	if err := folder.build(log, string(version[1])); err != nil {
		return "", fmt.Errorf("build kube-apiserver %s: %w", version[1], err)
	}
	return folder, nil
}

// whole says whether the folder is there: it is given its name when all is in it.
func (f Folder) whole() bool {
	_, err := os.Stat(string(f))
	return err == nil
}

// build makes the programs beside the folder, and then gives it its name.
func (f Folder) build(log io.Writer, version string) error {
	scratch, err := os.MkdirTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".new.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	source, programs := filepath.Join(scratch, "source"), Folder(filepath.Join(scratch, "programs"))
	for _, dir := range []string{source, string(programs)} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string][]byte{"go.mod": module, "go.sum": sums} {
		if err := os.WriteFile(filepath.Join(source, name), text, 0o600); err != nil {
			return err
		}
	}
	// Without its release the API server calls itself v0.0.0-master, which clients take for a very old one.
	stamp := "-s -w -X k8s.io/component-base/version.gitVersion=v" + version
	for _, p := range []struct{ output, from, flags string }{
		{programs.Etcd(), "go.etcd.io/etcd/server/v3", "-s -w"},
		{programs.APIServer(), "k8s.io/kubernetes/cmd/kube-apiserver", stamp},
		{programs.Kubectl(), "k8s.io/kubernetes/cmd/kubectl", stamp},
	} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", p.flags, "-o", p.output, p.from)
		build.Dir = source
		// Neither the workspace nor the flags of whoever tests are meant for these.
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
		build.Stdout, build.Stderr = log, log
		if err := build.Run(); err != nil {
			return fmt.Errorf("go build %s: %w", p.from, err)
		}
	}
	return os.Rename(string(programs), string(f))
}

// lock waits until no other process holds the file's lock. The end of the process gives it back too.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}
