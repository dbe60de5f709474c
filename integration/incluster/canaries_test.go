package incluster

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postern-gateway/postern/controlplane/casetest/canary"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// canaryKinds is how many Secrets of each kind are created.
const canaryKinds = 3

// TestCanaries: of secrets in a cluster nothing is shown by the page, in logs that tell all, by metrics, in Events and in
// objects that the control plane writes, though every one of them is in use.
func TestCanaries(t *testing.T) {
	for _, plane := range []string{"go", "envoy"} {
		t.Run(plane, func(t *testing.T) {
			if plane == "envoy" {
				live.NeedEnvoy(t)
			}
			findCanaries(t, plane)
		})
	}
}

func findCanaries(t *testing.T, plane string) {
	r := install(t, manifests.Release{Set: []string{
		fmt.Sprintf(`dataPlane.proxy=%q`, plane), `dataPlane.drain.delaySeconds=0`, fmt.Sprintf(`status.addresses=[%q]`, published), `accessLog.enabled=true`,
		`dashboard={"enabled":true,"ingress":{"enabled":true}}`, `controlPlane.logLevel="debug"`, `dataPlane.logLevel="debug"`,
	}})
	said := &transcript.Text{}
	r.said = said
	set := canary.New(t)
	r.plantRelease(set)
	backend(t, "10.244.0.9:9000")
	r.cluster.Apply(t, service+endpoint("10.244.0.9")+plantedObjects(t, set))
	const pods = "10.244.1.1" // Of both, so that the one is asked what fails at the other.
	r.resolveServices("postern-controlplane", pods)
	r.run("postern-controlplane", pods, nil).awaitReady()
	data := r.run("postern-dataplane", pods, nil)
	data.awaitReady()
	r.visitPlanted(set)

	v := r.visitor(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: processes.WaitMax}, "http://"+pods+":8083/")
	v.refused()
	v.shows("services", "failing")
	processes.Eventually(t, "an Event of what cannot be used", func() error {
		if !strings.Contains(r.written("events"), "broken-0") {
			return errors.New("none")
		}
		return nil
	})
	r.awaitAddress("shop", "tls-0", published)

	set.Walk(canary.Walk{
		Client: v.client, Base: strings.TrimSuffix(v.base, "/"), Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(v.name+":"+v.password)),
		Start: []string{"/", "/nothing", "/resources", "/resources/sds", "/resources/sds/tls-0.test", "/resources/clusters", "/proxies", "/proxies/" + data.name,
			"/model", "/replica", "/explain", "/explain?url=https://users-0.test/", "/diff"},
		Patterns: inspect.Patterns(),
	})
	for _, path := range []string{":9090/metrics", ":8081/readyz", ":8082/metrics", ":8082/failing"} {
		text, err := processes.Get("http://" + pods + path)
		if err != nil || text == "" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		set.Check(path, text)
	}
	for _, resource := range []string{"events", "ingresses", "leases", "services"} {
		set.Check(resource, r.written(resource))
	}
	for _, words := range []string{`"level":"DEBUG`, "tls-0.test"} {
		if !strings.Contains(said.String(), words) {
			t.Errorf("no line has %s", words)
		}
	}
	set.Check("a log", said.String())
	// Where they are, they are found.
	found := strings.Join(set.Leaked(r.written("secrets")), "\n")
	for name := range set.Texts {
		if !strings.Contains(found, name) {
			t.Errorf("the %s is not found in the Secrets themselves", name)
		}
	}
}

// plantRelease plants what the chart's own Secrets hold.
func (r *release) plantRelease(set *canary.Set) {
	r.t.Helper()
	for secret, keys := range map[string][]string{
		inspectName: {"password", "users"}, "postern-controlplane-tls": {corev1.TLSPrivateKeyKey}, "postern-dataplane-tls": {corev1.TLSPrivateKeyKey},
	} {
		s, err := r.client.CoreV1().Secrets(system).Get(r.t.Context(), secret, metav1.GetOptions{})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, key := range keys {
			text := strings.TrimSpace(string(s.Data[key]))
			if key == corev1.TLSPrivateKeyKey {
				text = strings.Split(text, "\n")[2] // Within the number, whatever the kind of key.
			}
			set.Plant(key+" of "+secret, text)
		}
	}
}

// plantedObjects are Secrets of every kind and Ingresses that refer to them.
func plantedObjects(t *testing.T, set *canary.Set) string {
	var b strings.Builder
	secret := func(name, kind string, data map[string]string) {
		encoded := map[string][]byte{}
		for key, value := range data {
			encoded[key] = []byte(value)
		}
		text, err := json.Marshal(encoded)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: shop}, type: %s, data: %s}\n", name, kind, text)
	}
	ingress := func(name, annotations, tls string) {
		fmt.Fprintf(&b, `---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s, namespace: shop, annotations: {%[2]s}}, spec: {ingressClassName: postern, %[3]s
  rules: [{host: %[1]s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
`, name, annotations, tls)
	}
	for i := range canaryKinds {
		name := fmt.Sprintf("tls-%d", i)
		chain, key := set.Pair("key of "+name, name+".test")
		secret(name, "kubernetes.io/tls", map[string]string{"tls.crt": chain, "tls.key": key})
		ingress(name, "", fmt.Sprintf("tls: [{hosts: [%[1]s.test], secretName: %[1]s}],", name))

		name = fmt.Sprintf("client-%d", i)
		chain, key = set.Pair("key of "+name, name)
		secret(name, "kubernetes.io/tls", map[string]string{"tls.crt": chain, "tls.key": key})
		authority, key := set.Pair("key of the CA of "+name, name)
		secret("ca-"+name, "Opaque", map[string]string{"ca.crt": authority + key})
		ingress(name, fmt.Sprintf(`postern.dev/backend-protocol: https, postern.dev/upstream-client-secret: %[1]s, postern.dev/upstream-ca-secret: ca-%[1]s`, name), "")

		name = fmt.Sprintf("users-%d", i)
		hash, err := bcrypt.GenerateFromPassword([]byte(set.Random("password of "+name)), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		secret(name, "Opaque", map[string]string{"auth": set.Random("user of "+name) + ":" + set.Plant("hash of "+name, string(hash)) + "\nbroken-line-" + set.Random("broken line of "+name) + "\n"})
		secret("clear-"+name, "Opaque", map[string]string{"password": set.Texts["password of "+name][0]})
		ingress(name, fmt.Sprintf(`ingress.kubernetes.io/auth-type: basic, ingress.kubernetes.io/auth-secret: %s`, name), "")

		name = fmt.Sprintf("broken-%d", i)
		secret(name, "Opaque", map[string]string{"tls.crt": "-----BEGIN CERTIFICATE-----\n" + set.Random("chain of "+name), "tls.key": set.Random("key of " + name)})
		ingress(name, fmt.Sprintf(`postern.dev/backend-protocol: https, postern.dev/upstream-client-secret: %[1]s, postern.dev/upstream-ca-secret: %[1]s`, name), "")
		secret(fmt.Sprintf("unrelated-%d", i), "Opaque", map[string]string{"password": set.Random(fmt.Sprintf("password of unrelated-%d", i))})
	}
	return b.String()
}

// visitPlanted has requests admitted, refused and failed by what is planted.
func (r *release) visitPlanted(set *canary.Set) {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: processes.WaitMax}
	user, password := set.Texts["user of users-0"][0], set.Texts["password of users-0"][0]
	for _, ask := range []struct {
		host, user, password string
		want                 int
	}{
		{"tls-0.test", "", "", http.StatusOK}, {"users-0.test", user, password, http.StatusOK}, {"users-0.test", "somebody", password, http.StatusUnauthorized},
		{"client-0.test", user, password, http.StatusServiceUnavailable}, {"broken-0.test", user, password, http.StatusServiceUnavailable},
	} {
		processes.Eventually(r.t, ask.host, func() error {
			request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://10.244.1.1:8080/", nil)
			if err != nil {
				return err
			}
			request.Host = ask.host
			request.SetBasicAuth(ask.user, ask.password)
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != ask.want {
				return errors.New(response.Status)
			}
			return nil
		})
	}
}

// written are all objects of a resource, as the API server has them.
func (r *release) written(resource string) string {
	r.t.Helper()
	of, ok := map[string]schema.GroupVersionResource{
		"events": {Group: "events.k8s.io", Version: "v1"}, "ingresses": {Group: "networking.k8s.io", Version: "v1"}, "leases": {Group: "coordination.k8s.io", Version: "v1"},
		"services": {Version: "v1"}, "secrets": {Version: "v1"},
	}[resource]
	if !ok {
		r.t.Fatalf("no resource %s", resource)
	}
	of.Resource = resource
	all, err := dynamicClient(r.t, r.cluster).Resource(of).List(r.t.Context(), metav1.ListOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(all.Items) == 0 {
		return ""
	}
	text, err := all.MarshalJSON()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}
