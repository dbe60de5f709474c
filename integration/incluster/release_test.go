package incluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/manifests"
)

const (
	root = "../.."
	// system is the namespace that the chart is installed in.
	system = "postern-system"
	// controlPlaneUser is who the control plane is to the API server.
	controlPlaneUser = "system:serviceaccount:" + system + ":postern-controlplane"
	// retryInterval is how often something is asked that nobody tells of.
	retryInterval = 50 * time.Millisecond
)

// release is an installed chart whose pods the test runs: there is no kubelet. What is rendered is applied, and each process
// has the arguments, environment and volumes of its container. Two things differ, as pods here share one machine: an
// address 0.0.0.0 becomes the pod's own, and a volume is mounted in a folder of the test's, which arguments then name.
type release struct {
	t       *testing.T
	cluster *cluster.Cluster
	client  *kubernetes.Clientset
	objects []manifests.Object
	folder  string
	// before is how many requests there had been.
	before int
}

// install renders the chart and applies it.
func install(t *testing.T, r manifests.Release) *release {
	t.Helper()
	if os.Getenv(helmVariable) == "" {
		t.Fatal(os.Getenv(helmFaultVariable))
	}
	out := &release{t: t, cluster: cluster.Start(t), folder: t.TempDir()}
	out.client = out.cluster.Client(t)
	out.before = len(out.cluster.Requests(t))
	helm := manifests.Helm{Program: os.Getenv(helmVariable), Home: t.TempDir()}
	r.Chart, r.Namespace = filepath.Join(root, "manifests/helm/postern"), system
	text, err := helm.Template(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	out.cluster.Apply(t, string(text))
	if out.objects, err = manifests.Split(text); err != nil {
		t.Fatal(err)
	}
	out.mountServiceAccount()
	t.Cleanup(out.checkRights)
	return out
}

// checkRights is that the control plane asked for nothing that the shipped roles forbid.
func (r *release) checkRights() {
	asked := 0
	for _, q := range r.cluster.Requests(r.t)[r.before:] {
		if q.User.Username != controlPlaneUser {
			continue
		}
		asked++
		if q.ResponseStatus.Code == http.StatusForbidden || q.ResponseStatus.Code == http.StatusUnauthorized {
			r.t.Errorf("%d: %s %s", q.ResponseStatus.Code, q.Verb, q.RequestURI)
		}
	}
	if asked == 0 {
		r.t.Error("the control plane has asked for nothing")
	}
}

// mountServiceAccount puts the control plane's token where a kubelet puts it. What is mounted over /run is seen by the test
// and its processes only: they have mounts of their own.
func (r *release) mountServiceAccount() {
	r.t.Helper()
	mountMemory(r.t, "/run")
	const folder = "/run/secrets/kubernetes.io/serviceaccount"
	config := r.cluster.As(r.t, system, "postern-controlplane")
	write(r.t, filepath.Join(folder, "token"), []byte(config.BearerToken))
	write(r.t, filepath.Join(folder, "ca.crt"), config.CAData)
	write(r.t, filepath.Join(folder, "namespace"), []byte(system))
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// resolveServices has the DNS names of a Service lead to pods, as the cluster's DNS does where it is headless.
func (r *release) resolveServices(service string, pods ...string) {
	r.t.Helper()
	const port = 53
	server := dnstest.StartAt(r.t, port)
	var record dnstest.Record
	for _, address := range pods {
		record.Addresses = append(record.Addresses, netip.MustParseAddr(address))
	}
	server.Set(fmt.Sprintf("%s.%s.svc.cluster.local", service, system), record)
	path := filepath.Join(r.folder, "resolv.conf")
	write(r.t, path, []byte("nameserver 127.0.0.1\n"))
	mountFile(r.t, path, "/etc/resolv.conf")
}

// template is the pod template of a rendered workload.
func (r *release) template(name string) corev1.PodSpec {
	r.t.Helper()
	for _, o := range r.objects {
		if o.Name != name || o.Kind != "Deployment" && o.Kind != "DaemonSet" {
			continue
		}
		var workload struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err := json.Unmarshal(o.JSON, &workload); err != nil {
			r.t.Fatal(err)
		}
		return workload.Spec.Template.Spec
	}
	r.t.Fatalf("the chart renders no workload %s", name)
	return corev1.PodSpec{}
}

// pod is a running container.
type pod struct {
	t             *testing.T
	name, address string
	spec          corev1.Container
	command       *exec.Cmd
	ended         chan struct{}
	// volumes are the folders of the mounts, by where the container has them.
	volumes map[string]string
}

// run runs a pod of a workload at an address until the test ends; hostPaths are folders of the node.
func (r *release) run(workload, address string, hostPaths map[string]string) *pod {
	r.t.Helper()
	spec := r.template(workload)
	p := &pod{
		t: r.t, address: address, spec: spec.Containers[0], ended: make(chan struct{}), volumes: map[string]string{},
		name: workload + "-" + strings.ReplaceAll(address, ".", "-"),
	}
	for _, m := range p.spec.VolumeMounts {
		i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		p.volumes[m.MountPath] = r.volume(p, spec.Volumes[i], hostPaths)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "ENVOY=" + os.Getenv("ENVOY"), "TMPDIR=" + r.t.TempDir()}
	vars := map[string]string{}
	for _, e := range p.spec.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = map[string]string{"metadata.name": p.name, "metadata.namespace": system}[e.ValueFrom.FieldRef.FieldPath]
		}
		vars[e.Name] = value
		env = append(env, e.Name+"="+value)
	}
	api, err := url.Parse(r.cluster.Config.Host)
	if err != nil {
		r.t.Fatal(err)
	}
	env = append(env, "KUBERNETES_SERVICE_HOST="+api.Hostname(), "KUBERNETES_SERVICE_PORT="+api.Port())
	p.command = exec.Command(os.Getenv(posternVariable), p.args(vars)...)
	p.command.Env, p.command.Stdout, p.command.Stderr = env, r.t.Output(), r.t.Output()
	if err := p.command.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait()
	}()
	r.t.Cleanup(func() { p.signal(syscall.SIGTERM) })
	return p
}

// args are the container's, with variables in place, and the two differences.
func (p *pod) args(vars map[string]string) []string {
	var out []string
	for _, arg := range p.spec.Args {
		for name, value := range vars {
			arg = strings.ReplaceAll(arg, "$("+name+")", value)
		}
		flag, value, _ := strings.Cut(arg, "=")
		// The entries are the data plane's to open.
		if flag != "--http" && flag != "--https" {
			value = strings.Replace(value, "0.0.0.0", p.address, 1)
		}
		for path, folder := range p.volumes {
			if value == path || strings.HasPrefix(value, path+"/") {
				value = folder + strings.TrimPrefix(value, path)
				break
			}
		}
		if strings.Contains(arg, "=") {
			flag += "=" + value
		}
		out = append(out, flag)
	}
	return out
}

// volume is a folder with what a volume holds.
func (r *release) volume(p *pod, v corev1.Volume, hostPaths map[string]string) string {
	r.t.Helper()
	folder := filepath.Join(r.folder, p.name, v.Name)
	if v.HostPath != nil {
		given, ok := hostPaths[v.HostPath.Path]
		if !ok {
			r.t.Fatalf("the node has no %s", v.HostPath.Path)
		}
		return given
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if v.Secret != nil {
		secret, err := r.client.CoreV1().Secrets(system).Get(r.t.Context(), v.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			r.t.Fatal(err)
		}
		for name, text := range secret.Data {
			write(r.t, filepath.Join(folder, name), text)
		}
	}
	return folder
}

// signal ends a pod by a signal, and returns when it is gone.
func (p *pod) signal(s os.Signal) {
	p.t.Helper()
	_ = p.command.Process.Signal(s) // It may have ended.
	select {
	case <-p.ended:
	case <-time.After(waitMax):
		p.t.Errorf("%s does not end by %s", p.name, s)
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// awaitReady waits for the readiness probe of the container.
func (p *pod) awaitReady() {
	p.t.Helper()
	port := 0
	for _, named := range p.spec.Ports {
		if named.Name == p.spec.ReadinessProbe.HTTPGet.Port.StrVal {
			port = int(named.ContainerPort)
		}
	}
	at := "http://" + net.JoinHostPort(p.address, fmt.Sprint(port)) + p.spec.ReadinessProbe.HTTPGet.Path
	eventually(p.t, p.name+" is ready", func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("%s has ended: %v", p.name, p.command.ProcessState)
		default:
		}
		_, err := get(p.t.Context(), http.DefaultClient, at)
		return err
	})
}

// get is the body of a page that answers 200.
func get(ctx context.Context, client *http.Client, at string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", at, response.Status, body)
	}
	return string(body), err
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.After(waitMax)
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %v", what, waitMax, err)
		}
	}
}

// dynamicClient is the administrator's, for objects of any kind.
func dynamicClient(t *testing.T, c *cluster.Cluster) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
