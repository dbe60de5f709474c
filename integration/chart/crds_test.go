package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/processes"
)

// What is fetched before the tests, which have no way to the Go module proxy: the folders of the modules, as JSON by path,
// or why there are none.
const (
	foldersVariable = "POSTERN_TEST_CRDS"
	faultVariable   = "POSTERN_TEST_NO_CRDS"
)

// crds are CRDs in the modules that crds.mod pins. They are in no copy here.
var crds = map[string][]string{
	"github.com/cert-manager/cert-manager": {"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"},
	"github.com/prometheus-operator/prometheus-operator": {
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
}

// fetchModules has the modules in Go's cache, and gives their folders by path.
func fetchModules() (map[string]string, error) {
	command := exec.Command("go", append([]string{"mod", "download", "-modfile=crds.mod", "-json"}, slices.Sorted(maps.Keys(crds))...)...)
	// Of the workspace's modules none is meant.
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	var words bytes.Buffer
	command.Stderr = &words
	out, failed := command.Output()
	folders := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var module struct{ Path, Dir, Error string }
		err := decoder.Decode(&module)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && module.Error != "" {
			err = errors.New(module.Error)
		}
		if err != nil {
			return nil, fmt.Errorf("go mod download: %w", err)
		}
		folders[module.Path] = module.Dir
	}
	if failed != nil {
		return nil, fmt.Errorf("go mod download: %w: %s", failed, strings.TrimSpace(words.String()))
	}
	return folders, nil
}

// applyCRDs has the API server know the CRDs.
func applyCRDs(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if fault := os.Getenv(faultVariable); fault != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(fault)
		}
		t.Skip(fault)
	}
	var folders map[string]string
	if err := json.Unmarshal([]byte(os.Getenv(foldersVariable)), &folders); err != nil {
		t.Fatal(err)
	}
	for module, files := range crds {
		for _, file := range files {
			c.Apply(t, read(t, folders[module], file))
		}
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alerts is the example's rules as a PrometheusRule, as its head says that they may be.
func alerts(t *testing.T) string {
	t.Helper()
	var spec map[string]any
	if err := yaml.Unmarshal([]byte(read(t, root, "docs/examples/monitoring/alerts.yaml")), &spec); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": map[string]any{"name": "postern", "namespace": "monitoring"}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const misspelt = `{apiVersion: %s, kind: %s, metadata: {name: misspelt, namespace: default}, spec: {%s, misspelt: true}}`

// TestCustomResources: with the CRDs of cert-manager and of the Prometheus operator the API server takes what the chart makes
// of their kinds, the certificates of the example, and the alerts of the other; of fields that are not theirs it takes none.
func TestCustomResources(t *testing.T) {
	c := cluster.Start(t)
	applyCRDs(t, c)
	for _, kind := range []struct{ version, name, spec string }{
		{"cert-manager.io/v1", "Certificate", "secretName: a, issuerRef: {name: a}"},
		{"cert-manager.io/v1", "Issuer", "selfSigned: {}"},
		{"monitoring.coreos.com/v1", "ServiceMonitor", "selector: {}, endpoints: []"},
		{"monitoring.coreos.com/v1", "PrometheusRule", "groups: []"},
	} {
		// A CRD is served some moments after it is there.
		processes.Eventually(t, kind.name+" with a field that it has not", func() error {
			err := c.TryApply(t.Context(), fmt.Sprintf(misspelt, kind.version, kind.name, kind.spec))
			if err == nil {
				t.Fatalf("a %s is taken with a field that it has not", kind.name)
			}
			if strings.Contains(err.Error(), ".spec.misspelt: field not declared in schema") {
				return nil
			}
			return err
		})
	}
	c.Apply(t, read(t, root, "docs/examples/xds-certificates/cert-manager.yaml"))
	c.Apply(t, alerts(t))
	made := map[string]bool{}
	for namespace, set := range map[string][]string{
		"own-issuer": {`xds.certificates.mode="cert-manager"`},
		"an-issuer": {`name="edge"`, `xds.certificates={"mode":"cert-manager","certManager":{"issuerRef":{"name":"ca","kind":"ClusterIssuer","group":"cert-manager.io"},` +
			`"duration":"24h","renewBefore":"8h"}}`},
		"monitored": {`metrics.serviceMonitor={"enabled":true,"labels":{"release":"prometheus"},"interval":"1m30s","scrapeTimeout":"10s"}`},
		"elsewhere": {`metrics.serviceMonitor={"enabled":true,"namespace":"monitoring"}`},
	} {
		for _, o := range renderIn(t, namespace, set...) {
			c.Apply(t, string(o.JSON))
			made[o.Kind] = true
		}
	}
	for _, kind := range []string{"Certificate", "Issuer", "ServiceMonitor"} {
		if !made[kind] {
			t.Errorf("the chart has made no %s", kind)
		}
	}
}
