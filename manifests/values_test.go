package manifests

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestMisspelt: whatever is not a value is refused, at every place where values stand.
func TestMisspelt(t *testing.T) {
	t.Parallel()
	values, err := Values(read(t, chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]bool{"": true}
	for _, v := range values {
		for path := v.Path; strings.Contains(path, "."); {
			path = path[:strings.LastIndex(path, ".")]
			places[path+"."] = true
		}
	}
	if len(places) < 30 {
		t.Errorf("there are %d places, so something is not looked at", len(places))
	}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		t.Run("at "+place, func(t *testing.T) {
			t.Parallel()
			refused(t, "additional properties 'misspelt' not allowed", place+"misspelt=true")
		})
	}
	for set, words := range map[string]string{
		`dataPlane.kind="Daemonset"`:                        "/dataPlane/kind",
		`dataPlane.service.type="loadbalancer"`:             "/dataPlane/service/type",
		`dataPlane.hostPort.http.port=80080`:                "/dataPlane/hostPort/http/port",
		`entries.trustedProxies=["everybody"]`:              "/entries/trustedProxies/0",
		`entries.http="off"`:                                "/entries/http",
		`watch.namespaces="default"`:                        "/watch/namespaces",
		`dataPlane.resources={"request":{"cpu":"1"}}`:       "additional properties 'request' not allowed",
		`controlPlane.strategy={"maxSurge":1}`:              "additional properties 'maxSurge' not allowed",
		`entries.https.defaultCertificate.secret="no-name"`: "/entries/https/defaultCertificate/secret",
		`dataPlane.image.digest="sha256:abc"`:               "/dataPlane/image/digest",
		`controlPlane.extraArgs=["pprof"]`:                  "/controlPlane/extraArgs/0",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			refused(t, words, strings.Replace(set, " ", "", 1))
		})
	}
}

// TestRefusedValues: what nothing stands behind, or what cannot be meant, is refused with a sentence.
func TestRefusedValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words string
		set   []string
	}{
		{"dashboard.enabled: there is no web page yet", []string{"dashboard.enabled=true"}},
		{"redirect of the whole http entry does not exist yet", []string{"entries.https.enforced=true"}},
		{"entries.allowedClients: a list of clients", []string{`entries.allowedClients=["10.0.0.0/8"]`}},
		{"there is no access log yet", []string{"accessLog.enabled=true"}},
		{"nothing would be served", []string{"entries.http.enabled=false", "entries.https.enabled=false"}},
		{"the entry is closed by entries.https.enabled", []string{"entries.https.enabled=false", "dataPlane.hostPort.https.enabled=true"}},
		{"a DaemonSet has one pod on each node", []string{`dataPlane.kind="DaemonSet"`, "dataPlane.autoscaling.enabled=true"}},
		{"minReplicas is greater than maxReplicas", []string{"dataPlane.autoscaling.enabled=true", "dataPlane.autoscaling.maxReplicas=1"}},
		{"give targetCPU", []string{"dataPlane.autoscaling.enabled=true", "dataPlane.autoscaling.targetCPUUtilizationPercentage=0"}},
		{"give secret or folder, not both", []string{`entries.https.defaultCertificate={"secret":"a/b","folder":"/ssl"}`}},
		{"nothing is mounted at /ssl", []string{`entries.https.defaultCertificate.folder="/ssl"`}},
		{"give service or addresses, not both", []string{`status={"service":"a/b","addresses":["192.0.2.1"]}`}},
		{"is not among watch.namespaces", []string{`watch.namespaces=["a"]`, `entries.https.defaultCertificate.secret="b/c"`}},
		{"give its name", []string{"controlPlane.serviceAccount.create=false"}},
		{"there is nothing to read", []string{"metrics.enabled=false", "metrics.serviceMonitor.enabled=true"}},
	} {
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			refused(t, c.words, c.set...)
		})
	}
}

type schema struct {
	Type                 any
	Properties           map[string]schema
	AdditionalProperties any
	Ref                  string `json:"$ref"`
	Items                *schema
	Defs                 map[string]schema `json:"$defs"`
}

// open are the objects whose keys the chart cannot know: by whom they are checked instead is in the schema.
var open = []string{"#/$defs/strings", "#/$defs/quantities", "#/$defs/kubernetes", "#/properties/global"}

func readSchema(t *testing.T) schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal(read(t, chart, "values.schema.json"), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchema: objects are closed, and the schema knows every value and no other.
func TestSchema(t *testing.T) {
	t.Parallel()
	root := readSchema(t)
	found := map[string]bool{}
	var walk func(at string, s schema)
	walk = func(at string, s schema) {
		if s.Type == "object" && s.AdditionalProperties != false {
			found[at] = true
			if !slices.Contains(open, at) {
				t.Errorf("%s takes any key", at)
			}
		}
		for key, p := range s.Properties {
			walk(at+"/properties/"+key, p)
		}
		if s.Items != nil {
			walk(at+"/items", *s.Items)
		}
		for key, d := range s.Defs {
			walk(at+"/$defs/"+key, d)
		}
	}
	walk("#", root)
	if len(found) != len(open) {
		t.Errorf("open objects are %v, expected %v", slices.Sorted(maps.Keys(found)), open)
	}
	values, err := Values(read(t, chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if _, err := root.lookup(v.Path); err != nil {
			t.Errorf("values.yaml has %s, values.schema.json has not: %v", v.Path, err)
		}
	}
	for _, leaf := range root.leaves(root, "") {
		if !slices.ContainsFunc(values, func(v Value) bool { return v.Path == leaf || strings.HasPrefix(leaf, v.Path+".") }) && leaf != "global" {
			t.Errorf("values.schema.json has %s, values.yaml has not", leaf)
		}
	}
}

func (s schema) resolve(root schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return root.Defs[name]
	}
	return s
}

// lookup finds the schema of a value.
func (s schema) lookup(path string) (schema, error) {
	at := s
	for _, key := range strings.Split(path, ".") {
		next, ok := at.Properties[key]
		if !ok {
			return schema{}, fmt.Errorf("%s is not known", key)
		}
		at = next.resolve(s)
	}
	return at, nil
}

func (s schema) leaves(root schema, prefix string) []string {
	var out []string
	for key, p := range s.Properties {
		p = p.resolve(root)
		if len(p.Properties) == 0 {
			out = append(out, prefix+key)
			continue
		}
		out = append(out, p.leaves(root, prefix+key+".")...)
	}
	return out
}

// TestEveryValueCounts: each value that can be left out, or be another, changes what is rendered. A value that changes
// nothing would be one that is ignored in silence.
func TestEveryValueCounts(t *testing.T) {
	t.Parallel()
	text := read(t, chart, "templates", "_args.tpl")
	for _, file := range []string{"_helpers.tpl", "_refused.tpl", "_rbac.tpl", "autoscaling.yaml", "certificates.yaml", "controlplane-deployment.yaml",
		"dataplane.yaml", "disruption.yaml", "ingressclass.yaml", "metrics.yaml", "networkpolicy.yaml", "rbac.yaml", "service.yaml"} {
		text = append(text, read(t, chart, "templates", file)...)
	}
	values, err := Values(read(t, chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		key := v.Path[strings.LastIndex(v.Path, ".")+1:]
		if key == "http" || key == "https" {
			continue
		}
		if !strings.Contains(string(text), "."+key) && !strings.Contains(string(text), `"`+key+`"`) {
			t.Errorf("%s is read by no template", v.Path)
		}
	}
}
