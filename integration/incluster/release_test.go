package incluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

const (
	// system is the namespace that the chart is installed in.
	system = "postern-system"
	// account is the control plane's.
	account = "postern-controlplane"
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
	// said, where there is one, is told all that the pods say.
	said io.Writer
}

// install renders the chart and applies it.
func install(t *testing.T, r manifests.Release) *release {
	t.Helper()
	r.Namespace = system
	out := &release{t: t, cluster: cluster.Start(t), folder: t.TempDir(), objects: render(t, r)}
	out.client = out.cluster.Client(t)
	out.cluster.Apply(t, asList(out.objects))
	out.mountServiceAccount()
	out.cluster.CheckRights(t, system, account)
	return out
}

// render is the chart with values.
func render(t *testing.T, r manifests.Release) []manifests.Object {
	t.Helper()
	if os.Getenv(helmVariable) == "" {
		t.Fatal(os.Getenv(helmFaultVariable))
	}
	helm := manifests.Helm{Program: os.Getenv(helmVariable), Home: t.TempDir()}
	r.Chart = filepath.Join(processes.Root, "manifests/helm/postern")
	text, err := helm.Template(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// asList is one List of objects.
func asList(objects []manifests.Object) string {
	var items []string
	for _, o := range objects {
		items = append(items, string(o.JSON))
	}
	return `{"apiVersion": "v1", "kind": "List", "items": [` + strings.Join(items, ",\n") + "]}"
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
// What else has a name may be added.
func (r *release) resolveServices(service string, pods ...string) *dnstest.Server {
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
	return server
}

// template is the pod template of a rendered workload.
func (r *release) template(name string) corev1.PodTemplateSpec {
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
		return workload.Spec.Template
	}
	r.t.Fatalf("the chart renders no workload %s", name)
	return corev1.PodTemplateSpec{}
}

// pod is a running container.
type pod struct {
	t             *testing.T
	name, address string
	spec          corev1.Container
	*processes.Process
	// volumes are the folders of the mounts, by where the container has them.
	volumes map[string]string
}

// run runs a pod of a workload at an address until the test ends; hostPaths are folders of the node.
func (r *release) run(workload, address string, hostPaths map[string]string) *pod {
	r.t.Helper()
	spec := r.template(workload).Spec
	p := &pod{
		t: r.t, address: address, spec: spec.Containers[0], volumes: map[string]string{},
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
	command := exec.Command(os.Getenv(processes.Postern), p.args(vars)...)
	command.Env = env
	command.Stdout = r.said
	p.Process = processes.Start(r.t, p.name, command)
	r.t.Cleanup(func() { // As a kubelet ends it.
		_ = p.Command.Process.Signal(syscall.SIGTERM) // It may be gone already.
		_ = p.AwaitEnd()
	})
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
		items := map[string]string{} // Without any, all keys are there by their names.
		for _, i := range v.Secret.Items {
			items[i.Key] = i.Path
		}
		for name, text := range secret.Data {
			if path, listed := items[name]; listed {
				write(r.t, filepath.Join(folder, path), text)
			} else if len(items) == 0 {
				write(r.t, filepath.Join(folder, name), text)
			}
		}
	}
	return folder
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
	p.Await("ready", func() error {
		_, err := processes.Get(at)
		return err
	})
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
