// Package manifests renders the Helm chart with Helm itself, built from its Go module.
package manifests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

//go:generate go run ./render

// toolsFile pins Helm and kustomize, in this folder.
const toolsFile = "tools.mod"

// Tools are programs built from the modules that tools.mod pins. Go's build cache keeps them: from nothing, Helm takes
// some two and a half minutes of CPU.
type Tools struct {
	// Folder is this package's.
	Folder string
}

// Path builds a tool where it is not in Go's build cache, and says where it is.
func (t Tools) Path(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "-modfile="+filepath.Join("manifests", toolsFile), name)
	cmd.Dir = filepath.Join(t.Folder, "..")
	// The same settings however it is called, or the cache would hold it twice.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	out, err := output(cmd)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Helm is the program, apart from the configuration and the cluster of whoever runs it.
type Helm struct {
	// Program is its path, Home a folder for what it writes.
	Program, Home string
}

// Release is what is to be rendered.
type Release struct {
	Chart, Namespace string
	// Values are files; Set are KEY=JSON, which count before them.
	Values, Set []string
}

// Template gives the rendered objects as YAML.
func (h Helm) Template(ctx context.Context, r Release) ([]byte, error) {
	args := []string{"template", "postern", r.Chart, "--namespace", r.Namespace}
	for _, file := range r.Values {
		args = append(args, "--values", file)
	}
	for _, set := range r.Set {
		args = append(args, "--set-json", set)
	}
	return h.Run(ctx, args...)
}

// Run gives what Helm prints. An error has its words.
func (h Helm) Run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, h.Program, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+h.Home, "HELM_CONFIG_HOME="+h.Home, "HELM_DATA_HOME="+h.Home,
		"HELM_NO_PLUGINS=1", "KUBECONFIG="+os.DevNull)
	return output(cmd)
}

func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()+string(out)))
	}
	return out, nil
}

// Object is one rendered object.
type Object struct {
	Kind, Name, Namespace string
	// JSON is the whole of it.
	JSON []byte
}

// Split takes rendered YAML apart, in its order; empty documents are left out.
func Split(rendered []byte) ([]Object, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(rendered))
	var out []Object
	for {
		// Through a node, since the text of a document is what the YAML library of Kubernetes is to read.
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what was rendered: %w", err)
		}
		if len(node.Content) == 1 && node.Content[0].Tag == "!!null" {
			continue
		}
		text, err := yaml.Marshal(&node)
		if err != nil {
			return nil, fmt.Errorf("take apart what was rendered: %w", err)
		}
		object, err := parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, object)
	}
}

func parse(text []byte) (Object, error) {
	var meta struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
	}
	json, err := sigsyaml.YAMLToJSONStrict(text)
	if err != nil {
		return Object{}, fmt.Errorf("read a rendered object: %w", err)
	}
	if err := sigsyaml.Unmarshal(json, &meta); err != nil {
		return Object{}, fmt.Errorf("read a rendered object: %w", err)
	}
	return Object{Kind: meta.Kind, Name: meta.Metadata.Name, Namespace: meta.Metadata.Namespace, JSON: json}, nil
}
