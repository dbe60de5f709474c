package manifests

import (
	"strings"
	"testing"
)

// notes is what Helm prints of an installation, without a cluster.
func notes(t *testing.T, set ...string) string {
	t.Helper()
	args := []string{"install", "postern", chart, "--namespace", namespace, "--dry-run=client"}
	for _, s := range set {
		args = append(args, "--set-json", s)
	}
	text, err := helm(t).Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	_, said, ok := strings.Cut(string(text), "\nNOTES:\n")
	if !ok {
		t.Fatalf("there are no notes:\n%s", text)
	}
	return said
}

// TestNotesTellOfThePage: whoever switches the page on reads where it is and how to get in, and nobody else does.
func TestNotesTellOfThePage(t *testing.T) {
	t.Parallel()
	const forward = "\n  kubectl -n gateway port-forward service/postern-inspect 8083:80\n"
	for _, tt := range []struct {
		name        string
		set         []string
		has, hasNot []string
	}{
		{"none", nil, nil, []string{"web page", "postern-inspect"}},
		{
			"alone",
			[]string{`dashboard={"enabled":true}`},
			[]string{forward, "\n  http://127.0.0.1:8083/ ", "get secret postern-inspect -o go-template='{{.data.username | base64decode}} {{.data.password | base64decode}}{{\"\\n\"}}'"},
			[]string{"NODE", "https://", "jsonpath='{.data.users}'"},
		},
		{
			"everywhere",
			[]string{`dashboard={"enabled":true,"hostPort":{"enabled":true,"port":8090},"ingress":{"enabled":true,"path":"/look","hosts":["a.test","b.test"]}}`},
			[]string{forward, "\n  http://NODE:8090/ ", "\n  https://a.test/look/\n  https://b.test/look/\n"},
			[]string{"ADDRESS"},
		},
		{
			"every host, over http",
			[]string{`dashboard={"enabled":true,"ingress":{"enabled":true}}`, `entries={"https":{"enabled":false}}`},
			[]string{"\n  http://ADDRESS-OF-THE-GATEWAY/postern/\n"},
			[]string{"https://ADDRESS"},
		},
		{
			"another port",
			[]string{`dashboard={"enabled":true,"ingress":{"enabled":true}}`, `entries={"https":{"publicPort":8443}}`},
			[]string{"\n  https://ADDRESS-OF-THE-GATEWAY:8443/postern/\n"},
			nil,
		},
		{
			"a Secret that is there",
			[]string{`dashboard={"enabled":true,"credential":{"existingSecret":"readers"}}`},
			[]string{forward, "\n  kubectl -n gateway get secret readers -o jsonpath='{.data.users}' | base64 -d\n"},
			[]string{"get secret postern-inspect", "data.password"},
		},
	} {
		said := notes(t, tt.set...) + "\n"
		for _, want := range tt.has {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the notes lack %q:\n%s", tt.name, want, said)
			}
		}
		for _, other := range tt.hasNot {
			if strings.Contains(said, other) {
				t.Errorf("%s: the notes have %q:\n%s", tt.name, other, said)
			}
		}
	}
}
