package incluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/cri-streaming/pkg/streaming/portforward"

	"github.com/postern-gateway/postern/integration/processes"
)

// kubeletNode is the node that has a kubelet, at kubeletAddress.
const (
	kubeletNode    = "worker"
	kubeletAddress = "10.244.3.1"
)

// kubelet is the part of one that forwards ports: what the API server sends it is answered by the library that kubelets and
// container runtimes answer by. A connection goes to the address of the pod, which has no network of its own here.
type kubelet struct {
	client *kubernetes.Clientset
}

// runKubelet has a node with a kubelet in the cluster until the test ends.
func (r *release) runKubelet() {
	r.t.Helper()
	listener, err := net.Listen("tcp", kubeletAddress+":0")
	if err != nil {
		r.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(kubelet{r.client})
	_ = server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	r.t.Cleanup(server.Close)
	port := int32(listener.Addr().(*net.TCPAddr).Port)
	r.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: kubeletNode}, Status: corev1.NodeStatus{
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: kubeletAddress}},
	}})
}

func (r *release) create(n *corev1.Node) {
	r.t.Helper()
	if _, err := r.client.CoreV1().Nodes().Create(r.t.Context(), n, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// ServeHTTP answers /portForward/NAMESPACE/NAME, as a kubelet does.
func (k kubelet) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	if len(parts) < 3 || parts[0] != "portForward" {
		http.NotFound(w, request)
		return
	}
	portforward.ServePortForward(w, request, k, parts[1]+"/"+parts[2], "", &portforward.V4Options{}, processes.WaitMax, 30*time.Second, []string{portforward.ProtocolV1Name})
}

// PortForward copies between a stream and a port of a pod.
func (k kubelet) PortForward(ctx context.Context, name, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	namespace, name, _ := strings.Cut(name, "/")
	p, err := k.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	connection, err := net.Dial("tcp", net.JoinHostPort(p.Status.PodIP, fmt.Sprint(port)))
	if err != nil {
		return err
	}
	defer connection.Close()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, stream)
		done <- errors.Join(err, connection.(*net.TCPConn).CloseWrite())
	}()
	_, err = io.Copy(stream, connection)
	_ = stream.Close()
	_ = connection.Close()
	<-done // What ends with the connection is no fault.
	return err
}

// asPod has the API server know a pod of a workload, ready at an address on the node with the kubelet.
func (r *release) asPod(t *testing.T, workload, name, address string) {
	t.Helper()
	template := r.template(workload)
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name, pod.Namespace, pod.Spec.NodeName = name, system, kubeletNode
	pods := r.client.CoreV1().Pods(system)
	pod, err := pods.Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
