package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/translator/dialect"
)

// casesRoot is the folder of the cases, from where `go generate` runs docgen.
const casesRoot = "testdata"

// exampleOf shows an annotation as it stands in the case that its entry names.
func exampleOf(t *dialect.Table, a dialect.Annotation) (string, error) {
	text, err := os.ReadFile(filepath.Join(casesRoot, filepath.FromSlash(a.Case)+".txtar"))
	if err != nil {
		return "", fmt.Errorf("annotation %s: %w", a.Key, err)
	}
	for _, f := range txtar.Parse(text).Files {
		if !strings.HasSuffix(f.Name, ".yaml") {
			continue
		}
		for _, document := range strings.Split(string(f.Data), "\n---\n") {
			if key, value, ok := annotated(t, a, document); ok {
				return show(a, key, value)
			}
		}
	}
	return "", fmt.Errorf("annotation %s: case %s has no %s with it", a.Key, a.Case, a.On)
}

// annotated is the annotation in a document, whichever way it is spelt there. A document that is no object has none: a
// case may be about that.
func annotated(t *dialect.Table, a dialect.Annotation, document string) (key, value string, ok bool) {
	var object metav1.PartialObjectMetadata
	if err := yaml.Unmarshal([]byte(document), &object); err != nil || object.Kind != string(a.On) {
		return "", "", false
	}
	for _, key := range t.Spellings(a) {
		if value, ok := object.Annotations[key]; ok {
			return key, value, true
		}
	}
	return "", "", false
}

func show(a dialect.Annotation, key, value string) (string, error) {
	text, err := yaml.Marshal(map[string]any{
		"kind": string(a.On), "metadata": map[string]any{"annotations": map[string]string{key: value}},
	})
	return fmt.Sprintf("```yaml\n%s```\n\nFrom the case [%s](../../../translator/testdata/%[2]s.txtar).\n", text, a.Case), err
}
