package manifests

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	table       = "../docs/operate/from-the-traefik-chart.md"
	scenario    = "../docs/examples/from-the-traefik-chart/postern-values.yaml"
	oldScenario = "../docs/examples/from-the-traefik-chart/traefik-values.yaml"
)

// offered are the values of the old chart (1.86.0, its README and values.yaml), each of which must have its row or stand
// under one that has.
var offered = []string{
	"fullnameOverride", "image", "imageTag", "imagePullPolicy", "imagePullSecrets", "testFramework.enabled", "serviceType", "loadBalancerIP",
	"loadBalancerSourceRanges", "externalIP", "whiteListSourceRange", "externalTrafficPolicy", "replicas", "startupArguments", "pingEntryPoint",
	"podDisruptionBudget", "priorityClassName", "rootCAs", "resources", "cpuRequest", "memoryRequest", "cpuLimit", "memoryLimit", "debug.enabled",
	"logLevel", "maxIdleConnsPerHost", "deploymentStrategy", "securityContext", "useNonPriviledgedPorts", "env", "nodeSelector", "affinity", "tolerations",
	"kubernetes.endpoint", "kubernetes.namespaces", "kubernetes.labelSelector", "kubernetes.ingressClass", "kubernetes.ingressEndpoint.hostname",
	"kubernetes.ingressEndpoint.ip", "kubernetes.ingressEndpoint.publishedService", "kubernetes.ingressEndpoint.useDefaultPublishedService",
	"fileBackend", "proxyProtocol.enabled", "proxyProtocol.trustedIPs", "forwardedHeaders.enabled", "forwardedHeaders.trustedIPs", "configFiles", "secretFiles",
	"ssl.enabled", "ssl.enforced", "ssl.permanentRedirect", "ssl.upstream", "ssl.insecureSkipVerify", "ssl.generateTLS", "ssl.defaultCN", "ssl.defaultSANList",
	"ssl.defaultIPList", "ssl.cipherSuites", "ssl.tlsMinVersion", "ssl.sniStrict", "ssl.defaultCert", "ssl.defaultKey", "ssl.auth.basic", "ssl.extraCerts",
	"ssl.mtls.enabled", "kvprovider.storeAcme", "acme.enabled", "dashboard.enabled", "dashboard.domain", "dashboard.serviceType", "dashboard.service.annotations",
	"dashboard.ingress.annotations", "dashboard.ingress.labels", "dashboard.ingress.tls", "dashboard.auth.basic", "dashboard.statistics.recentErrors",
	"service.annotations", "service.labels", "service.nodePorts.http", "service.nodePorts.https", "gzip.enabled", "traefikLogFormat", "accessLogs.enabled",
	"accessLogs.filters", "accessLogs.filePath", "accessLogs.format", "accessLogs.fields", "rbac.enabled", "rbac.serviceAccount.annotations",
	"metrics.prometheus.enabled", "metrics.prometheus.buckets", "metrics.prometheus.service.name", "metrics.prometheus.service.annotations",
	"metrics.prometheus.service.port", "metrics.prometheus.service.type", "metrics.prometheus.serviceMonitor.enabled", "metrics.datadog.enabled",
	"metrics.statsd.enabled", "deployment.labels", "deployment.annotations", "deployment.podLabels", "deployment.podAnnotations",
	"deployment.hostPort.httpEnabled", "deployment.hostPort.httpsEnabled", "deployment.hostPort.dashboardEnabled", "deployment.hostPort.httpPort",
	"deployment.hostPort.httpsPort", "deployment.hostPort.dashboardPort", "sendAnonymousUsage", "tracing.enabled", "autoscaling", "timeouts", "forwardAuth",
	"extraVolumes", "extraVolumeMounts",
}

var code = regexp.MustCompile("`([a-zA-Z.]+)`")

// rows gives the old values of the table, each with the new ones.
func rows(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, line := range strings.Split(string(read(t, table)), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		var ours []string
		for _, m := range code.FindAllStringSubmatch(cells[2], -1) {
			ours = append(ours, m[1])
		}
		if len(ours) == 0 && strings.TrimSpace(cells[2]) != "none" && !strings.Contains(cells[2], "ours") && !strings.Contains(cells[2], "---") {
			t.Errorf("a row names neither a value of ours nor none: %s", line)
		}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			out[m[1]] = ours
		}
	}
	return out
}

// TestFromTheTraefikChart: each value of the old chart, those of the example among them, has its row; each new one is a value.
func TestFromTheTraefikChart(t *testing.T) {
	t.Parallel()
	found := rows(t)
	root := readSchema(t)
	for old, ours := range found {
		for _, path := range ours {
			if _, err := root.lookup(path); err != nil {
				t.Errorf("%s leads to %s: %v", old, path, err)
			}
		}
	}
	var values map[string]any
	if err := sigsyaml.Unmarshal(read(t, oldScenario), &values); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Concat(offered, paths(values, "")) {
		if !hasRow(found, path) {
			t.Errorf("%s of the old chart has no row in %s", path, table)
		}
	}
}

// hasRow says whether a value has a row, or one that it is under.
func hasRow(found map[string][]string, path string) bool {
	for {
		if _, ok := found[path]; ok {
			return true
		}
		i := strings.LastIndex(path, ".")
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}

// paths are the values of a file; annotations are one.
func paths(values map[string]any, prefix string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		below, ok := values[key].(map[string]any)
		if !ok || key == "annotations" {
			out = append(out, prefix+key)
			continue
		}
		out = append(out, paths(below, prefix+key+".")...)
	}
	return out
}

// TestScenario: the values of the example give what they gave in the old chart.
func TestScenario(t *testing.T) {
	t.Parallel()
	objects := renderRelease(t, Release{Chart: chart, Namespace: namespace, Values: []string{scenario}})
	checkPods(t, objects)
	checkReferences(t, objects)
	checkArgs(t, objects)
	control := controlPlane(t, objects).Spec
	for _, flag := range []string{"--ingress-selector=app=traefik", "--ingress-without-class", "--tls-cert-dir=/ssl", "--upstream-insecure-skip-verify", "--external-name=cluster"} {
		if !slices.Contains(control.Containers[0].Args, flag) {
			t.Errorf("%s is not in %v", flag, control.Containers[0].Args)
		}
	}
	if !slices.ContainsFunc(control.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil && v.HostPath.Path == "/share/k8s/traefik/ssl" }) ||
		!slices.ContainsFunc(control.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/ssl" }) {
		t.Errorf("the certificate's folder is not in %v", control)
	}
	if slices.ContainsFunc(dataPlane(t, objects).Spec.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil }) {
		t.Error("the data plane has a folder of the node")
	}
}
