package incluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// askers are accounts that may do less and less: all that asking takes, and that without one of it.
const askers = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: asker, namespace: postern-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: without-secrets, namespace: postern-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: without-forward, namespace: postern-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: postern-system}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: find, namespace: postern-system}, rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: forward, namespace: postern-system}, rules: [{apiGroups: [""], resources: [pods/portforward], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: read, namespace: postern-system}, rules: [{apiGroups: [""], resources: [secrets], verbs: [get], resourceNames: [postern-inspect]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: find, namespace: postern-system}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: find},
  subjects: [{kind: ServiceAccount, name: asker}, {kind: ServiceAccount, name: without-secrets}, {kind: ServiceAccount, name: without-forward}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: forward, namespace: postern-system}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: forward},
  subjects: [{kind: ServiceAccount, name: asker}, {kind: ServiceAccount, name: without-secrets}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: read, namespace: postern-system}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: read},
  subjects: [{kind: ServiceAccount, name: asker}, {kind: ServiceAccount, name: without-forward}]}
`

// plugin is kubectl with Postern as its plugin.
type plugin struct {
	t                       *testing.T
	kubectl, folder, secret string
}

// plugin of a release, whose answers have a secret nowhere.
func (r *release) plugin(secret string) plugin {
	r.t.Helper()
	folder := r.t.TempDir()
	binary, err := filepath.Abs(os.Getenv(processes.Postern))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(folder, "kubectl-postern")); err != nil {
		r.t.Fatal(err)
	}
	return plugin{t: r.t, kubectl: r.cluster.Kubectl(), folder: folder, secret: secret}
}

// answered is how a run of it ended.
type answered struct {
	out, errs string
	code      int
}

func (p plugin) as(kubeconfig string, args ...string) answered {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), p.kubectl, append([]string{"postern"}, args...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	command.Env = []string{"PATH=" + p.folder + ":/usr/bin:/bin", "HOME=" + p.folder, "KUBECONFIG=" + kubeconfig}
	if err := command.Run(); command.ProcessState == nil {
		p.t.Fatal(err)
	}
	if strings.Contains(out.String()+errs.String(), p.secret) {
		p.t.Errorf("%q shows the password", args)
	}
	return answered{out.String(), errs.String(), command.ProcessState.ExitCode()}
}

// TestLive: kubectl postern asks the control plane that the chart has installed, through kubectl's way to a pod and with the
// chart's credential, as whoever may; what hinders it is told in a sentence.
func TestLive(t *testing.T) {
	r := install(t, manifests.Release{Set: []string{`dashboard.enabled=true`}})
	r.cluster.Apply(t, service+endpoint("10.244.0.9")+ingress("/a", "")+"\n---\n"+askers)
	r.runKubelet()
	secrets := r.client.CoreV1().Secrets(system)
	secret, err := secrets.Get(t.Context(), "postern-inspect", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := r.plugin(string(secret.Data["password"]))
	admin := cluster.Kubeconfig(t, r.cluster.Config)
	as := func(account string) string { return cluster.Kubeconfig(t, r.cluster.As(t, system, account)) }
	p.refused(admin, "no control plane of Postern runs in the cluster", "snapshot")
	p.refused(admin, "in namespace shop", "explain", "--live", "-n", "shop", "http://web.test/a")

	const address = "10.244.1.1"
	r.run("postern-controlplane", address, nil).awaitReady()
	r.asPod(t, "postern-controlplane", "control-1", address)
	p.asks(admin)
	p.asks(as("asker"), "-n", system)
	p.differs(r, admin)

	p.refused(as("nobody"), "name the control plane's namespace by -n NAMESPACE", "snapshot")
	p.refused(as("asker"), "cannot list resource", "snapshot") // The context's namespace is another.
	p.refused(as("without-forward"), "you must be allowed to create pods/portforward in namespace "+system, "snapshot", "-n", system)
	p.refused(as("without-secrets"), "--server-auth FILE", "snapshot", "-n", system)
	credential := filepath.Join(t.TempDir(), "credential")
	write(t, credential, append(append(secret.Data["username"], ':'), secret.Data["password"]...))
	p.asks(as("without-secrets"), "-n", system, "--server-auth", credential)
	write(t, credential, []byte("somebody:else"))
	p.refused(admin, "does not take the credential of --server-auth", "snapshot", "--server-auth", credential)

	by, count := p.withoutWebSockets(r.cluster.Config)
	p.asks(by)
	if count.Load() == 0 {
		t.Error("the API server was not asked by SPDY")
	}

	r.asPod(t, "postern-controlplane", "control-2", "10.244.1.2") // Nothing listens there.
	p.refused(admin, "connection refused", "snapshot")
	p.refused(admin, "the newest is asked, postern-system/control-2", "snapshot")
	if err := r.client.CoreV1().Pods(system).Delete(t.Context(), "control-2", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	delete(secret.Data, "password")
	if _, err := secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.refused(admin, "Secret postern-system/postern-inspect has no username and password in clear", "snapshot")
}

// refused fails where a question is answered, or refused without certain words.
func (p plugin) refused(kubeconfig, want string, args ...string) {
	p.t.Helper()
	if got := p.as(kubeconfig, args...); got.code != 1 || got.out != "" || !strings.Contains(got.errs, want) {
		p.t.Errorf("%q ends with %d; want %q:\n%s%s", args, got.code, want, got.errs, got.out)
	} else {
		p.t.Logf("%s", got.errs)
	}
}

// asks has what is served shown and explained.
func (p plugin) asks(kubeconfig string, flags ...string) {
	p.t.Helper()
	got := p.as(kubeconfig, append([]string{"snapshot", "clusters", "-o", "json"}, flags...)...)
	var list struct {
		Resources []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || got.code != 0 || got.errs != "" {
		p.t.Fatalf("snapshot ends with %d, %v:\n%s%s", got.code, err, got.errs, got.out)
	}
	if !strings.Contains(fmt.Sprint(list), "{shop/web/80 ") {
		p.t.Errorf("the snapshot has %v", list)
	}
	got = p.as(kubeconfig, append([]string{"explain", "--live", "http://web.test/a"}, flags...)...)
	if got.code != 0 || got.errs != "" || !strings.Contains(got.out, "10.244.0.9:9000") {
		p.t.Errorf("explain ends with %d:\n%s%s", got.code, got.errs, got.out)
	}
}

// differs has what is served compared with the cluster's objects, and with manifests.
func (p plugin) differs(r *release, kubeconfig string) {
	p.t.Helper()
	if got := p.as(kubeconfig, "diff", "live", "cluster"); got.code != 0 || !strings.Contains(got.errs, "cluster is read by the flags of live: ") {
		p.t.Errorf("diff live cluster ends with %d:\n%s%s", got.code, got.errs, got.out)
	}
	manifest := filepath.Join(p.t.TempDir(), "shop.yaml")
	write(p.t, manifest, []byte(service+endpoint("10.244.0.9")+ingress("/b", "")))
	for _, side := range []string{"cluster", "live"} {
		got := p.as(kubeconfig, "diff", side, manifest)
		if got.code != 1 || !strings.Contains(got.out, "web.test /b") {
			p.t.Errorf("diff %s ends with %d:\n%s%s", side, got.code, got.errs, got.out)
		}
	}
}

// withoutWebSockets is a kubeconfig by which the API server is asked through a proxy that takes no WebSockets, as some do; count
// is of what was upgraded otherwise.
func (p plugin) withoutWebSockets(config *rest.Config) (kubeconfig string, count *atomic.Int32) {
	p.t.Helper()
	to, err := url.Parse(config.Host)
	if err != nil {
		p.t.Fatal(err)
	}
	config = rest.CopyConfig(config)
	config.NextProtos = []string{"http/1.1"} // HTTP/2 upgrades nothing.
	transport, err := rest.TransportFor(config)
	if err != nil {
		p.t.Fatal(err)
	}
	count = new(atomic.Int32)
	through := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		switch strings.ToLower(request.Header.Get("Upgrade")) {
		case "websocket":
			http.Error(w, "no WebSockets here", http.StatusBadRequest)
			return
		case "":
		default:
			count.Add(1)
		}
		through.ServeHTTP(w, request)
	}))
	p.t.Cleanup(server.Close)
	return cluster.Kubeconfig(p.t, &rest.Config{Host: server.URL, BearerToken: config.BearerToken}), count
}
