// Command render writes what is made of the Helm chart: the bases in kustomize/, and the table of values in its README.
// It runs in the folder manifests.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/manifests"
)

const (
	chart     = "helm/postern"
	namespace = "postern-system"
	generated = "# Written by go generate from the Helm chart, do not edit.\n"
)

// bases are the folders in kustomize/, each with the level of Pod Security that its pods keep to: host ports are not
// even baseline (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
var bases = []struct{ folder, podSecurity string }{
	{"deployment-loadbalancer", "restricted"},
	{"daemonset-hostport", "privileged"},
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "render: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if err := writeReadme(); err != nil {
		return err
	}
	program, err := manifests.Tools{Folder: "."}.Path(ctx, "helm")
	if err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "postern-helm-")
	if err != nil {
		return fmt.Errorf("make a folder for Helm: %w", err)
	}
	defer os.RemoveAll(home)
	helm := manifests.Helm{Program: program, Home: home}
	for _, base := range bases {
		folder := filepath.Join("kustomize", base.folder)
		rendered, err := helm.Template(ctx, manifests.Release{
			Chart: chart, Namespace: namespace, Values: []string{filepath.Join(folder, "values.yaml")},
		})
		if err != nil {
			return fmt.Errorf("render %s: %w", base.folder, err)
		}
		objects, err := manifests.Split(rendered)
		if err != nil {
			return err
		}
		if err := writeBase(folder, base.podSecurity, objects); err != nil {
			return err
		}
	}
	return nil
}

func writeBase(folder, podSecurity string, objects []manifests.Object) error {
	old, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return fmt.Errorf("list %s: %w", folder, err)
	}
	for _, file := range old {
		if filepath.Base(file) == "values.yaml" {
			continue
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove what was rendered before: %w", err)
		}
	}
	names := []string{"namespace.yaml"}
	files := map[string]any{"namespace.yaml": map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
		"name": namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": podSecurity},
	}}}
	for _, object := range objects {
		name := strings.ToLower(object.Kind) + "-" + object.Name + ".yaml"
		var content map[string]any
		if err := yaml.Unmarshal(object.JSON, &content); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if files[name] != nil {
			return fmt.Errorf("two objects would be %s", name)
		}
		clean(content)
		files[name] = content
		names = append(names, name)
	}
	slices.Sort(names)
	files["kustomization.yaml"] = map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": namespace, "resources": names,
	}
	for _, name := range append(names, "kustomization.yaml") {
		text, err := yaml.Marshal(files[name])
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), append([]byte(generated), text...), 0o644); err != nil {
			return fmt.Errorf("write a base: %w", err)
		}
	}
	return nil
}

// clean takes out what is Helm's: whoever applies a base manages its objects.
func clean(object map[string]any) {
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	delete(labels, "helm.sh/chart")
	delete(labels, "app.kubernetes.io/managed-by")
}

func writeReadme() error {
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return fmt.Errorf("read the values: %w", err)
	}
	values, err := manifests.Values(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("<!-- Written by go generate from values.yaml, do not edit. -->\n\n# The chart postern\n\n" +
		"How to install, upgrade and remove it: docs/operate/install.md. From stable/traefik: docs/operate/from-the-traefik-chart.md.\n\n" +
		"| value | default | what it does |\n|---|---|---|\n")
	for _, v := range values {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", v.Path, v.Default, v.Comment)
	}
	if err := os.WriteFile(filepath.Join(chart, "README.md"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the table of values: %w", err)
	}
	return nil
}
