package incluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/integration/processes"
)

// inspectName is what the chart calls the Service, the Secret and the Ingress of the page.
const inspectName = "postern-inspect"

// visitor looks at the page by the name and the password in its Secret.
type visitor struct {
	t              *testing.T
	client         *http.Client
	base           string // ends with a slash
	name, password string
}

// visitor is one who comes to a page by its address.
func (r *release) visitor(client *http.Client, base string) visitor {
	r.t.Helper()
	secret, err := r.client.CoreV1().Secrets(system).Get(r.t.Context(), inspectName, metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	v := visitor{t: r.t, client: client, base: base, name: string(secret.Data["username"]), password: string(secret.Data["password"])}
	if v.name == "" || v.password == "" {
		r.t.Fatal("the Secret of the page holds no name, or no password")
	}
	return v
}

// ask gives the status and the body of a page below the address.
func (v visitor) ask(path, accept string) (int, string, error) {
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Accept", accept)
	if v.name != "" {
		request.SetBasicAuth(v.name, v.password)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// page gives a page as people see it.
func (v visitor) page(path string) (string, error) { return v.whole(path, "text/html") }

// data reads the same as JSON.
func (v visitor) data(path string, into any) error {
	text, err := v.whole(path, "application/json")
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

func (v visitor) whole(path, accept string) (string, error) {
	status, body, err := v.ask(path, accept)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d: %s", path, status, body)
	}
	return body, err
}

// shows waits until a page has some texts.
func (v visitor) shows(path string, texts ...string) {
	v.t.Helper()
	processes.Eventually(v.t, "page /"+path, func() error {
		page, err := v.page(path)
		for _, text := range texts {
			if err == nil && !strings.Contains(page, text) {
				err = fmt.Errorf("%q is missing in %s", text, page)
			}
		}
		return err
	})
}

// refused is that whoever has no credential, or another one, is asked for it and sees nothing.
func (v visitor) refused() {
	v.t.Helper()
	nobody, other := v, v
	nobody.name = ""
	other.password = "another"
	for who, v := range map[string]visitor{"nobody": nobody, "another password": other} {
		if status, body, err := v.ask("", "text/html"); err != nil || status != http.StatusUnauthorized || strings.Contains(body, "Overview") {
			v.t.Errorf("%s sees %d, %s, %v", who, status, body, err)
		}
	}
}

// snapshot asks by the command, which finds the credential and the authority in files.
func (v visitor) snapshot(args ...string) string {
	v.t.Helper()
	folder := v.t.TempDir()
	auth, ca := filepath.Join(folder, "auth"), filepath.Join(folder, "ca.pem")
	write(v.t, auth, []byte(v.name+":"+v.password+"\n"))
	write(v.t, ca, casetest.AuthorityPEM(casetest.SignedByCA))
	command := exec.CommandContext(v.t.Context(), os.Getenv(processes.Postern),
		append([]string{"snapshot", "--server", v.base, "--server-auth", auth, "--server-ca", ca}, args...)...)
	out, err := command.CombinedOutput()
	if err != nil {
		v.t.Errorf("snapshot %v: %v: %s", args, err, out)
	}
	return string(out)
}

// connect makes the EndpointSlice of a Service of the chart with a pod that it selects, as the cluster's controller does.
func (r *release) connect(service string, p *pod) {
	r.t.Helper()
	s, err := r.client.CoreV1().Services(system).Get(r.t.Context(), service, metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	ready := true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: service + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{p.address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: system, Name: p.name},
		}},
	}
	for _, port := range s.Spec.Ports {
		number := port.TargetPort.IntVal
		for _, c := range p.spec.Ports {
			if c.Name == port.TargetPort.StrVal {
				number = c.ContainerPort
			}
		}
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &port.Name, Port: &number, Protocol: &port.Protocol})
	}
	if _, err := r.client.DiscoveryV1().EndpointSlices(system).Create(r.t.Context(), slice, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}
