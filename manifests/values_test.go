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
		{"dashboard.ingress.enabled: dashboard.enabled is false", []string{"dashboard.ingress.enabled=true"}},
		{"dashboard.hostPort.enabled: dashboard.enabled is false", []string{"dashboard.hostPort.enabled=true"}},
		{"namespace gateway, which is not among watch.namespaces", []string{"dashboard.enabled=true", "dashboard.ingress.enabled=true", `watch.namespaces=["shop"]`}},
		{"give dashboard.ingress.labels", []string{"dashboard.enabled=true", "dashboard.ingress.enabled=true", `watch.labelSelector="app=traefik"`}},
		{"give the hosts that the certificate is for", []string{"dashboard.enabled=true", "dashboard.ingress.enabled=true", `dashboard.ingress.tlsSecret="tls"`}},
		{"there is nothing to redirect to", []string{"entries.https.enforced=true", "entries.https.enabled=false"}},
		{"nothing would be served", []string{"entries.http.enabled=false", "entries.https.enabled=false"}},
		{"the entry is closed by entries.https.enabled", []string{"entries.https.enabled=false", "dataPlane.hostPort.https.enabled=true"}},
		{"is closed by entries.http.enabled", []string{`dataPlane.service.tlsAtLoadBalancer=true`, `entries.trustedProxies=["10.0.0.0/8"]`, "entries.http.enabled=false"}},
		{"name the load balancer in entries.trustedProxies", []string{`dataPlane.service.tlsAtLoadBalancer=true`}},
		{"the pods take no IPv6", []string{`dataPlane.service.ipFamilyPolicy="PreferDualStack"`}},
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
	Enum                 []string
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

// others are values where a boolean turned, a number more, or another of a list is not enough; with what they need.
var others = map[string][]string{
	"name":                                {`name="other"`},
	"imagePullSecrets":                    {`imagePullSecrets=[{"name":"pull"}]`},
	"labels":                              {`labels={"team":"edge"}`},
	"watch.namespaces":                    {`watch.namespaces=["shop"]`},
	"watch.ingressClass":                  {`watch.ingressClass="traefik"`},
	"watch.labelSelector":                 {`watch.labelSelector="app=traefik"`},
	"ingressClass.name":                   {`ingressClass.name="other"`},
	"ingressClass.controller":             {`ingressClass.controller="example.com/other"`},
	"entries.trustedProxies":              {`entries.trustedProxies=["10.0.0.0/8"]`},
	"entries.allowedClients":              {`entries.allowedClients=["10.0.0.0/8"]`},
	"dashboard.credential.existingSecret": {`dashboard.credential.existingSecret="mine"`, "dashboard.enabled=true"},
	// What is made is random: TestDashboard looks at the name.
	"dashboard.credential.username":                           {`dashboard.credential.username="ops"`, "dashboard.enabled=true"},
	"dashboard.service.annotations":                           {`dashboard.service.annotations={"a":"b"}`, "dashboard.enabled=true"},
	"dashboard.hostPort.enabled":                              {`dashboard.hostPort.enabled=true`, "dashboard.enabled=true"},
	"dashboard.hostPort.port":                                 {`dashboard.hostPort.port=8081`, "dashboard.enabled=true", "dashboard.hostPort.enabled=true"},
	"dashboard.ingress.enabled":                               {`dashboard.ingress.enabled=true`, "dashboard.enabled=true"},
	"dashboard.ingress.path":                                  {`dashboard.ingress.path="/admin"`, "dashboard.enabled=true", "dashboard.ingress.enabled=true"},
	"dashboard.ingress.hosts":                                 {`dashboard.ingress.hosts=["node.test"]`, "dashboard.enabled=true", "dashboard.ingress.enabled=true"},
	"dashboard.ingress.tlsSecret":                             {`dashboard.ingress.tlsSecret="tls"`, "dashboard.enabled=true", "dashboard.ingress.enabled=true", `dashboard.ingress.hosts=["node.test"]`},
	"dashboard.ingress.annotations":                           {`dashboard.ingress.annotations={"a":"b"}`, "dashboard.enabled=true", "dashboard.ingress.enabled=true"},
	"dashboard.ingress.labels":                                {`dashboard.ingress.labels={"a":"b"}`, "dashboard.enabled=true", "dashboard.ingress.enabled=true"},
	"accessLog.format":                                        {`accessLog.format="text"`, "accessLog.enabled=true"},
	"upstream.ca.configMap":                                   {`upstream.ca.configMap="cas"`},
	"upstream.ca.key":                                         {`upstream.ca.key="other.crt"`, `upstream.ca.configMap="cas"`},
	"upstream.externalName":                                   {`upstream.externalName=["off"]`},
	"upstream.denyCIDR":                                       {`upstream.denyCIDR=["192.0.2.0/24"]`},
	"upstream.dnsServers":                                     {`upstream.dnsServers=["192.0.2.53"]`},
	"upstream.clusterDomain":                                  {`upstream.clusterDomain="other.local"`},
	"status.service":                                          {`status.service="other/service"`},
	"status.addresses":                                        {`status.addresses=["192.0.2.1"]`},
	"xds.serverName":                                          {`xds.serverName="other"`},
	"metrics.service.annotations":                             {`metrics.service.annotations={"prometheus.io/scrape":"true"}`},
	"networkPolicy.clients":                                   {`networkPolicy.clients=[{"ipBlock":{"cidr":"192.0.2.0/24"}}]`, `networkPolicy.enabled=true`},
	"networkPolicy.metrics":                                   {`networkPolicy.metrics=[{"namespaceSelector":{}}]`, `networkPolicy.enabled=true`},
	"metrics.serviceMonitor.namespace":                        {`metrics.serviceMonitor.namespace="monitoring"`, `metrics.serviceMonitor.enabled=true`},
	"metrics.serviceMonitor.labels":                           {`metrics.serviceMonitor.labels={"release":"prometheus"}`, `metrics.serviceMonitor.enabled=true`},
	"metrics.serviceMonitor.interval":                         {`metrics.serviceMonitor.interval="10s"`, `metrics.serviceMonitor.enabled=true`},
	"metrics.serviceMonitor.scrapeTimeout":                    {`metrics.serviceMonitor.scrapeTimeout="5s"`, `metrics.serviceMonitor.enabled=true`},
	"xds.certificates.generate.days":                          {`xds.certificates.generate.days=1`},
	"xds.certificates.certManager.issuerRef":                  {`xds.certificates.certManager.issuerRef={"name":"ca","kind":"ClusterIssuer"}`, `xds.certificates.mode="cert-manager"`},
	"xds.certificates.certManager.duration":                   {`xds.certificates.certManager.duration="100h"`, `xds.certificates.mode="cert-manager"`},
	"xds.certificates.certManager.renewBefore":                {`xds.certificates.certManager.renewBefore="10h"`, `xds.certificates.mode="cert-manager"`},
	"xds.certificates.controlPlaneSecret":                     {`xds.certificates.controlPlaneSecret="other"`, `xds.certificates.mode="existing"`},
	"xds.certificates.dataPlaneSecret":                        {`xds.certificates.dataPlaneSecret="other"`, `xds.certificates.mode="existing"`},
	"entries.https.defaultCertificate.secret":                 {`entries.https.defaultCertificate.secret="default/tls"`},
	"entries.https.defaultCertificate.folder":                 {`entries.https.defaultCertificate.folder="/ssl"`, `controlPlane.extraVolumeMounts=[{"name":"ssl","mountPath":"/ssl"}]`},
	"controlPlane.extraVolumes":                               {`controlPlane.extraVolumes=[{"name":"ssl","hostPath":{"path":"/ssl"}}]`},
	"controlPlane.extraVolumeMounts":                          {`controlPlane.extraVolumeMounts=[{"name":"ssl","mountPath":"/ssl"}]`},
	"controlPlane.serviceAccount.create":                      {`controlPlane.serviceAccount={"create":false,"name":"mine"}`},
	"controlPlane.serviceAccount.name":                        {`controlPlane.serviceAccount.name="mine"`},
	"controlPlane.serviceAccount.annotations":                 {`controlPlane.serviceAccount.annotations={"a":"b"}`},
	"dataPlane.hostPort.http.port":                            {`dataPlane.hostPort.http.port=8000`, `dataPlane.hostPort.http.enabled=true`},
	"dataPlane.hostPort.https.port":                           {`dataPlane.hostPort.https.port=8001`, `dataPlane.hostPort.https.enabled=true`},
	"dataPlane.service.annotations":                           {`dataPlane.service.annotations={"a":"b"}`},
	"dataPlane.service.labels":                                {`dataPlane.service.labels={"a":"b"}`},
	"dataPlane.service.ports":                                 {`dataPlane.service.ports.http=8000`},
	"dataPlane.service.nodePorts":                             {`dataPlane.service.nodePorts.https=30443`},
	"dataPlane.service.tlsAtLoadBalancer":                     {`dataPlane.service.tlsAtLoadBalancer=true`, `entries.trustedProxies=["10.0.0.0/8"]`},
	"dataPlane.service.externalIPs":                           {`dataPlane.service.externalIPs=["192.0.2.1"]`},
	"dataPlane.service.loadBalancerIP":                        {`dataPlane.service.loadBalancerIP="192.0.2.1"`},
	"dataPlane.service.loadBalancerClass":                     {`dataPlane.service.loadBalancerClass="example.com/lb"`},
	"dataPlane.service.loadBalancerSourceRanges":              {`dataPlane.service.loadBalancerSourceRanges=["192.0.2.0/24"]`},
	"dataPlane.folderSizeLimit":                               {`dataPlane.folderSizeLimit="8Mi"`},
	"dataPlane.autoscaling.minReplicas":                       {`dataPlane.autoscaling.minReplicas=3`, `dataPlane.autoscaling.enabled=true`},
	"dataPlane.autoscaling.maxReplicas":                       {`dataPlane.autoscaling.maxReplicas=5`, `dataPlane.autoscaling.enabled=true`},
	"dataPlane.autoscaling.targetCPUUtilizationPercentage":    {`dataPlane.autoscaling.targetCPUUtilizationPercentage=5`, `dataPlane.autoscaling.enabled=true`},
	"dataPlane.autoscaling.targetMemoryUtilizationPercentage": {`dataPlane.autoscaling.targetMemoryUtilizationPercentage=5`, `dataPlane.autoscaling.enabled=true`},
}

// ofPlane are values that both planes have.
var ofPlane = map[string]string{
	"image.repository": `"example.com/image"`, "image.tag": `"other"`, "image.digest": `"sha256:` + strings.Repeat("0", 64) + `"`,
	"extraArgs": `["--log-level=debug"]`, "env": `[{"name":"GOGC","value":"50"}]`, "resources": `{"limits":{"memory":"1Gi"}}`,
	"strategy": `{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":2}}`, "podDisruptionBudget.maxUnavailable": `"20%"`,
	"topologySpread.keys": `["example.com/rack"]`, "annotations": `{"a":"b"}`, "podAnnotations": `{"a":"b"}`, "podLabels": `{"a":"b"}`,
	"nodeSelector": `{"a":"b"}`, "tolerations": `[{"operator":"Exists"}]`, "affinity": `{"nodeAffinity":{}}`, "priorityClassName": `"high"`,
}

// TestEveryValueCounts: another value is rendered to something else, or refused. One that changes nothing would be
// ignored in silence.
func TestEveryValueCounts(t *testing.T) {
	t.Parallel()
	root := readSchema(t)
	values, err := Values(read(t, chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		t.Run(v.Path, func(t *testing.T) {
			t.Parallel()
			set := others[v.Path]
			if plane, path, _ := strings.Cut(v.Path, "."); set == nil && ofPlane[path] != "" && strings.HasSuffix(plane, "Plane") {
				set = []string{v.Path + "=" + ofPlane[path]}
			}
			if set == nil {
				set = []string{v.Path + "=" + another(t, root, v)}
			}
			// With existing certificates nothing is random, so that what is equal is equal.
			with := set[1:]
			if !strings.HasPrefix(v.Path, "xds.certificates") {
				with = append(slices.Clone(with), `xds.certificates.mode="existing"`)
			}
			if strings.HasPrefix(v.Path, "dashboard.") && !strings.HasPrefix(v.Path, "dashboard.credential.") {
				with = append(slices.Clone(with), `dashboard.credential.existingSecret="mine"`)
			}
			before, err := helm(t).Template(t.Context(), Release{Chart: chart, Namespace: namespace, Set: with})
			if err != nil {
				t.Fatal(err)
			}
			after, err := helm(t).Template(t.Context(), Release{Chart: chart, Namespace: namespace, Set: append(slices.Clone(with), set[0])})
			if err == nil && string(before) == string(after) {
				t.Errorf("%s changes nothing", set[0])
			}
			if err != nil {
				t.Errorf("%s is refused: %v", set[0], err)
			}
		})
	}
}

// another makes a value up from the schema.
func another(t *testing.T, root schema, v Value) string {
	t.Helper()
	s, err := root.lookup(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Enum {
		if text := strings.Trim(v.Default, `"`); e != text {
			return fmt.Sprintf("%q", e)
		}
	}
	switch s.Type {
	case "boolean":
		return fmt.Sprint(v.Default != "true")
	case "integer":
		var n int
		if _, err := fmt.Sscan(v.Default, &n); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n + 1)
	}
	t.Fatalf("%s: write another value of it into others", v.Path)
	return ""
}
