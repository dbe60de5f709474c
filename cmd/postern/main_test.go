package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

const example = "../../docs/examples/kubernetes-dashboard"

// run runs a command as main does and gives what it prints.
func run(t *testing.T, stdin string, args ...string) (out, errs string, err error) {
	t.Helper()
	var outBuffer, errBuffer bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&outBuffer)
	c.SetErr(&errBuffer)
	err = c.ExecuteContext(t.Context())
	return outBuffer.String(), errBuffer.String(), err
}

func TestExplainExample(t *testing.T) {
	out, _, err := run(t, "", "explain", "-f", example, "--ingress-selector", "app=traefik", "https://node/k8s/app")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"default/kubernetes-dashboard", "kubernetes-dashboard.yaml:", "X-Forwarded-Prefix", "<base href=\"/\">", "127.0.0.1:9443"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain does not tell of %s:\n%s", want, out)
		}
	}
	out, _, err = run(t, "", "explain", "-f", example, "http://node/catalog/")
	if err != nil || !strings.Contains(out, `becomes <base href="/catalog/">`) {
		t.Errorf("explain does not tell of the base, %v:\n%s", err, out)
	}
	out, _, err = run(t, "", "explain", "-f", example, "-o", "json", "-X", "POST", "http://node/k8s/")
	if err != nil || !json.Valid([]byte(out)) || !strings.Contains(out, "307") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestFilesAskNoDNS: the commands that only read files say so of a name outside of the cluster, and fail for nothing.
func TestFilesAskNoDNS(t *testing.T) {
	const outside = "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {defaultBackend: {service: {name: out, port: {number: 80}}}}}\n---\n" +
		"{apiVersion: v1, kind: Service, metadata: {name: out}, spec: {type: ExternalName, externalName: a.example.com, ports: [{port: 80}]}}\n"
	flags := []string{"-f", "-", "--external-name", "example.com"}
	for command, want := range map[string]string{
		"explain": "a.example.com, resolved when served", "lint": "looked up when it is served", "translate": "endpoint.v3.ClusterLoadAssignment",
	} {
		args := append([]string{command}, flags...)
		if command == "explain" {
			args = append(args, "http://h.test/")
		}
		if out, _, err := run(t, outside, args...); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v; want %q in:\n%s", command, err, want, out)
		}
	}
	_, errs, err := run(t, outside, append([]string{"translate", "-o", "bootstrap"}, flags...)...)
	if err != nil || !strings.Contains(errs, "the paths that lead to a.example.com answer 503") {
		t.Errorf("translate -o bootstrap: %v:\n%s", err, errs)
	}
}

func TestLintExitCodes(t *testing.T) {
	if out, _, err := run(t, "", "lint", "-f", example); err != nil {
		t.Errorf("the example has errors: %v\n%s", err, out)
	}
	const bad = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: x\n  annotations:\n    traefik.ingress.kubernetes.io/rule-tipe: Path\nspec:\n  defaultBackend: {service: {name: nope, port: {number: 80}}}\n"
	out, _, err := run(t, bad, "lint", "-f", "-")
	if !errors.Is(err, errFindings) || !strings.Contains(out, "did you mean rule-type?") || !strings.Contains(out, ":6: warning P3001") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, _, err = run(t, bad, "lint", "-f", "-", "-o", "json")
	var ds []map[string]any
	if !errors.Is(err, errFindings) || json.Unmarshal([]byte(out), &ds) != nil || len(ds) != 2 {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestReport: every annotation is counted once, values stay out, and the exit code is lint's.
func TestReport(t *testing.T) {
	const canary = "canary-credential"
	manifest := "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: x\n  annotations:\n" +
		"    ingress.kubernetes.io/custom-request-headers: 'Authorization:" + canary + "'\n" +
		"    ingress.kubernetes.io/protocol: http\n    example.com/note: " + canary + "\n" +
		"spec:\n  defaultBackend: {service: {name: web, port: {number: 80}}}\n"
	for output, want := range map[string]string{"text": "1 Ingress served, 0 not; 3 annotations", "json": `"annotations": 3`} {
		out, errs, err := run(t, manifest, "lint", "--report", "-f", "-", "-o", output, "--backend", "default/web:80=127.0.0.1:1")
		if err != nil || !strings.Contains(out, want) || strings.Contains(out+errs, canary) {
			t.Errorf("-o %s: %v: %s\n%s", output, err, errs, out)
		}
		if _, _, err := run(t, manifest, "lint", "--report", "-f", "-", "-o", output); !errors.Is(err, errFindings) {
			t.Errorf("-o %s: there is no Service, and the end is %v", output, err)
		}
	}
	out, _, err := run(t, manifest, "lint", "--report", "-f", "-", "--ingress-class", "other")
	if err != nil || !strings.Contains(out, "0 Ingresses served, 1 not; 0 annotations") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestLintWithoutIngress(t *testing.T) {
	if _, errs, err := run(t, "", "lint", "-f", "-"); err != nil || !strings.Contains(errs, "no Ingress") {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestTranslateNeverPrintsKeys(t *testing.T) {
	const canary = "canary-private-key"
	manifest := "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {tls.crt: x, tls.key: " + canary + "}}\n---\n" +
		"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {tls: [{hosts: [a.test], secretName: s}]}}\n"
	for _, format := range []string{"yaml", "json"} {
		out, errs, err := run(t, manifest, "translate", "-f", "-", "-o", format)
		if err != nil || !strings.Contains(out, "RouteConfiguration") {
			t.Errorf("%v:\n%s", err, out)
		}
		if strings.Contains(out+errs, canary) {
			t.Error("the key is printed")
		}
		pair := casetest.NewPair("gateway.test", casetest.SignedByCA)
		out, errs, err = run(t, clientManifest(pair), "translate", "-f", "-", "-o", format)
		if err != nil || !strings.Contains(out, "client/default/gateway") || !strings.Contains(out, "[redacted]") {
			t.Errorf("%v:\n%s", err, out)
		}
		if strings.Contains(out+errs, base64.StdEncoding.EncodeToString(pair.Key)) || strings.Contains(out+errs, "PRIVATE KEY") {
			t.Error("the key of a client certificate is printed")
		}
		const hash = "{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI="
		protected := clientManifest(pair) + "---\n" +
			"{apiVersion: v1, kind: Secret, metadata: {name: users}, stringData: {users: '" + "bob:" + hash + "'}}\n---\n" +
			"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: u, annotations: {ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: users}}, spec: {rules: [{host: u.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 443}}}}]}}]}}\n"
		out, errs, err = run(t, protected, "translate", "-f", "-", "-o", format)
		if err != nil || !strings.Contains(out, "users/default/users") {
			t.Errorf("%v:\n%s", err, out)
		}
		if strings.Contains(out+errs, hash) || strings.Contains(out+errs, base64.StdEncoding.EncodeToString([]byte("bob:"+hash+"\n"))) {
			t.Error("a hash is printed")
		}
	}
}

// TestBootstrap: the one output that holds private keys says so, and goes where nobody else reads it.
func TestBootstrap(t *testing.T) {
	const key = "BEGIN PRIVATE KEY"
	out, errs, err := run(t, "", "translate", "-f", example, "-o", "bootstrap")
	if err != nil || !strings.Contains(out, key) || !strings.HasPrefix(out, "# ") || !strings.Contains(errs, "private keys (1)") {
		t.Errorf("%v: %s\n%.500s", err, errs, out)
	}
	if strings.Contains(errs, key) {
		t.Error("the key is printed where it does not belong")
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, err = run(t, "", "translate", "-f", example, "-o", "bootstrap", "--to", file)
	if err != nil || out != "" {
		t.Errorf("%v: %.500s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: the mode is %v", err, info.Mode())
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), key) {
		t.Errorf("%v: the file has no key", err)
	}
	if _, _, err := run(t, "", "translate", "-f", example, "--to", filepath.Join(file, "x")); err == nil {
		t.Error("a file within a file is written")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".envoy*")); err != nil || len(left) > 0 {
		t.Errorf("%v: %q is left behind", err, left)
	}
}

// TestJSONNames: the fields of every JSON form have names of one style; a field without a tag would show Go's.
func TestJSONNames(t *testing.T) {
	for _, args := range [][]string{
		{"explain", "-f", example, "--ingress-selector", "app=traefik", "https://node/k8s/app"},
		{"explain", "-f", example, "http://node/k8s/app"},
		{"lint", "-f", "../../docs/examples/migration"},
		{"lint", "--report", "-f", "../../docs/examples/migration"},
		{"version"},
	} {
		out, _, err := run(t, "", append(args, "-o", "json")...)
		if err != nil && !errors.Is(err, errFindings) {
			t.Errorf("%q: %v", args, err)
			continue
		}
		var form any
		if err := json.Unmarshal([]byte(out), &form); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		for _, name := range jsonNames(form) {
			if strings.ToLower(name[:1]) != name[:1] || strings.ContainsAny(name, "_ ") {
				t.Errorf("%q: the JSON has a field %s", args, name)
			}
		}
	}
}

// jsonNames are the names of all fields, but for those of headers.
func jsonNames(form any) []string {
	var out []string
	switch form := form.(type) {
	case []any:
		for _, item := range form {
			out = append(out, jsonNames(item)...)
		}
	case map[string]any:
		for name, value := range form {
			out = append(out, name)
			if name != "headers" {
				out = append(out, jsonNames(value)...)
			}
		}
	}
	return out
}

// TestCompletion: a shell is offered the commands, the flags, and the values of those that take one of a few.
func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"li":                          "lint\t",
		"completion ":                 "bash\nzsh\nfish\npowershell\nkubectl\n:",
		"up --data-pl":                "--data-plane\t",
		"up --data-plane ":            "go\nenvoy\n:4",
		"up -o ":                      "text\njson\n:4",
		"translate -o ":               "yaml\njson\nbootstrap\n:4",
		"lint --traefik-path-pre":     "--traefik-path-prefix\t",
		"lint --traefik-path-prefix ": "element\nstring\n:4",
		"lint -f ":                    "yaml\nyml\njson\n:8",
		"lint --tls-cert-dir ":        ":16",
		"lint --upstream-ca ":         ":0",
		"lint --ingress-class ":       ":4",
		"explain -f x ":               ":4",
	} {
		args := strings.Split(line, " ")
		out, _, err := run(t, "", append([]string{"__complete"}, args...)...)
		if err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("postern %s: %v: %q, want %q", line, err, out, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, _, err := run(t, "", "completion", shell); err != nil || !strings.Contains(out, "__complete") {
			t.Errorf("%s: %v: %.100s", shell, err, out)
		}
	}
	flags := map[string]bool{}
	for _, c := range command().Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
	}
	for name := range completions {
		if !flags[name] {
			t.Errorf("--%s has a completion, and no command has the flag", name)
		}
	}
}

func TestVersion(t *testing.T) {
	if out, _, err := run(t, "", "version"); err != nil || !strings.HasPrefix(out, "postern ") || !strings.Contains(out, "Envoy 1.") {
		t.Errorf("%v: %s", err, out)
	}
}

// clientManifest has a backend be shown a client certificate.
func clientManifest(pair casetest.Pair) string {
	return "{apiVersion: v1, kind: Secret, metadata: {name: gateway}, data: {tls.crt: " + base64.StdEncoding.EncodeToString(pair.Certificate) +
		", tls.key: " + base64.StdEncoding.EncodeToString(pair.Key) + "}}\n---\n" +
		"{apiVersion: v1, kind: Service, metadata: {name: web, annotations: {postern.dev/upstream-client-secret: gateway}}, " +
		"spec: {ports: [{port: 443, appProtocol: https}]}}\n---\n" +
		"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {defaultBackend: {service: {name: web, port: {number: 443}}}}}\n"
}

func TestMistakes(t *testing.T) {
	folder := t.TempDir()
	broken := filepath.Join(folder, "broken.yaml")
	if err := os.WriteFile(broken, []byte("kind: Ingress\nspec: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(folder, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"lint"}, "-f PATH is missing"},
		{[]string{"up"}, "-f PATH is missing"},
		{[]string{"explain", "-f", example}, "name one URL"},
		{[]string{"translate", "-f", example, "-o", "jsn"}, "did you mean json?"},
		{[]string{"lint", "-f", "/no/such"}, "/no/such"},
		{[]string{"lint", "-f", broken}, broken + ":"},
		{[]string{"lint", "-f", example, "-o", "xml"}, "text, json or html"},
		{[]string{"lint", "-f", example, "--ingress-clas", "x"}, "did you mean --ingress-class?\nsee postern lint --help"},
		{[]string{"explian"}, "explain"},
		{[]string{"completion", "tcsh"}, "name a shell: bash, zsh, fish or powershell"},
		{[]string{"lint", example}, "-f PATH"},
		{[]string{"up", "-f", example, "--slash-redirect", "false"}, "--FLAG=VALUE"},
		{[]string{"explain", "-f", example, "node/k8s"}, "http://HOST/PATH"},
		{[]string{"explain", "-f", example, "-H", "Host: a.test", "http://node/"}, "name the host in the URL"},
		{[]string{"explain", "-f", example, "-H", "X", "http://node/"}, "Name: value"},
		{[]string{"explain", "-f", example, "--tls", "1.1", "https://node/"}, "1.2 or 1.3"},
		{[]string{"explain", "-f", example, "--client-cert", "no-such.pem", "https://node/"}, "no-such.pem"},
		{[]string{"lint", "-f", example, "-A"}, "two sources"},
		{[]string{"explain", "-f", example, "--context", "x", "http://h/"}, "--context name two sources"},
		{[]string{"lint", "-A", "-n", "shop", "--kubeconfig", kubeconfig}, "-A and -n shop"},
		{[]string{"lint", "--kubeconfig", kubeconfig, "--context", "nope"}, "nope"},
		{[]string{"lint", "--kubeconfig", "/no/such", "-A"}, "/no/such"},
		{[]string{"lint", "-f", example, "-o", "html"}, "add --report"},
		{[]string{"lint", "-f", example, "--backend", "web=1"}, "NAMESPACE/NAME:PORT=HOST:PORT"},
		{[]string{"lint", "-f", example, "--trusted-proxies", "10.0.0.0/99"}, "--trusted-proxies"},
		{[]string{"lint", "-f", example, "--http", "example.com:80"}, "is not an IP address"},
		{[]string{"lint", "-f", example, "--traefik-path-prefix", "regex"}, "element or string"},
		{[]string{"lint", "-f", example, "--external-name", "off,cluster"}, "off stands alone"},
		{[]string{"lint", "-f", example, "--deny-cidr", "10.0.0.0/8,x"}, "--deny-cidr x"},
		{[]string{"up", "-f", example, "--dns-server", "dns.test"}, "--dns-server dns.test"},
		{[]string{"lint", "-f", example, "--tls-min-version", "1.1"}, "1.2 or 1.3"},
	} {
		if _, _, err := run(t, "", c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("postern %s: %v; want %q", strings.Join(c.args, " "), err, c.want)
		}
	}
}

// TestStrayWords: a word that belongs to no flag is refused, with -f named only where there is one.
func TestStrayWords(t *testing.T) {
	for command, manifests := range map[string]bool{"up": true, "lint": true, "translate": true, "controlplane": false, "dataplane": false, "certs": false, "version": false} {
		_, _, err := run(t, "", command, "stray")
		if err == nil || !strings.Contains(err.Error(), `"stray" belongs to no flag`) || strings.Contains(err.Error(), "-f PATH") != manifests {
			t.Errorf("%s: %v", command, err)
		}
	}
}
