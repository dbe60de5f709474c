package pods

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/integration/processes"
)

// Where things listen: entries are those of the data plane's pod, of which one runs at a time.
const (
	entryHTTP      = "10.244.2.1:8080"
	entryHTTPS     = "10.244.2.1:8443"
	dataHealth     = "10.244.2.1:8082"
	serviceAddress = "10.96.200.1:18000"
	publicAddress  = "10.95.0.1"
	drainDelay     = "2s"
	drainTimeout   = "60s"
)

// controlPlane is a replica; a kill and a start are of the same one.
type controlPlane struct {
	lab                  *lab
	name                 string
	xds, health, metrics string
	*processes.Process
}

// replica gives the nth, which does not run yet.
func (l *lab) replica(n int) *controlPlane {
	host := fmt.Sprintf("10.244.1.%d:", n)
	return &controlPlane{lab: l, name: fmt.Sprintf("postern-controlplane-%d", n), xds: host + "18000", health: host + "8081", metrics: host + "9090"}
}

// start runs it with the arguments that its Deployment has, but for what a kubelet would give it.
func (c *controlPlane) start() {
	c.lab.t.Helper()
	command := exec.Command(os.Getenv(processes.Postern), c.arguments()...)
	command.Env = append(os.Environ(), "POD_NAME="+c.name, "POD_NAMESPACE="+systemNamespace)
	c.Process = processes.Start(c.lab.t, c.name, command)
}

func (c *controlPlane) arguments() []string {
	l := c.lab
	l.t.Helper()
	return append(l.arguments("postern-controlplane"),
		"--kubeconfig="+l.kubeconfig, "--http="+entryHTTP, "--https="+entryHTTPS, "--xds="+c.xds, "--xds-cert-dir="+l.trust.controlPlane,
		"--health="+c.health, "--metrics="+c.metrics, "--identity="+c.name)
}

// awaitReady waits until it serves what it has read.
func (c *controlPlane) awaitReady() {
	c.lab.t.Helper()
	c.Await("/readyz", func() error { return ready(c.health) })
}

// awaitSettled waits until the data plane is connected to it and has answered all, and its authorizer is connected where it
// is a process of its own. It gives what was sent by then.
func (c *controlPlane) awaitSettled(dataPlane string) map[string]int {
	c.lab.t.Helper()
	want := map[string]string{"postern_proxies_connected": "1", "postern_proxies_behind": "0", "postern_authorizers_connected": "0"}
	if dataPlane == planeEnvoy {
		want["postern_authorizers_connected"] = "1"
	}
	c.Await("settled", func() error {
		got, err := processes.Scrape(c.metrics)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				return fmt.Errorf("%s is %s, want %s", name, got[name], want[name])
			}
		}
		return nil
	})
	return c.sent()
}

const sentSeries = `postern_xds_resources_sent_total{type="`

// sent are how many resources of each type it has sent; types without any are left out.
func (c *controlPlane) sent() map[string]int {
	c.lab.t.Helper()
	got, err := processes.Scrape(c.metrics)
	if err != nil {
		c.lab.t.Fatal(err)
	}
	out, series := map[string]int{}, 0
	for name, value := range got {
		kind, ok := strings.CutPrefix(name, sentSeries)
		if !ok {
			continue
		}
		series++
		n, err := strconv.Atoi(value)
		if err != nil {
			c.lab.t.Fatal(err)
		}
		if n > 0 {
			out[strings.TrimSuffix(kind, `"}`)] = n
		}
	}
	if series == 0 {
		c.lab.t.Fatalf("no series %s", sentSeries)
	}
	return out
}

// dataPlane is the process of a data plane's pod.
type dataPlane struct {
	lab    *lab
	plane  string
	folder string
	*processes.Process
}

// dataArguments are those of a data plane that asks at an address.
func (l *lab) dataArguments(plane, folder, xds string) []string {
	l.t.Helper()
	return append(l.arguments("postern-dataplane"), "--data-plane="+plane, "--xds="+xds, "--xds-cert-dir="+l.trust.dataPlane, "--folder="+folder,
		"--health="+dataHealth, "--drain-delay="+drainDelay, "--drain-timeout="+drainTimeout, "--concurrency=2")
}

// startDataPlane runs one that asks at an address. Nobody waits until it is ready.
func (l *lab) startDataPlane(plane, xds string) *dataPlane {
	l.t.Helper()
	d := &dataPlane{lab: l, plane: plane, folder: filepath.Join(l.folder, "run")}
	command := exec.Command(os.Getenv(processes.Postern), l.dataArguments(plane, d.folder, xds)...)
	command.Env = append(os.Environ(), "POD_NAME=postern-dataplane-1", "POD_NAMESPACE="+systemNamespace)
	d.Process = processes.Start(l.t, "postern-dataplane", command)
	return d
}

func (d *dataPlane) awaitReady() {
	d.lab.t.Helper()
	d.Await("/readyz", func() error { return ready(dataHealth) })
}

// moves are Envoy's counters and gauges that an update of a listener or a cluster moves; none of the Go data plane.
func (d *dataPlane) moves() map[string]string {
	d.lab.t.Helper()
	if d.plane != planeEnvoy {
		return nil
	}
	got, err := processes.Scrape(dataHealth)
	if err != nil {
		d.lab.t.Fatal(err)
	}
	maps.DeleteFunc(got, func(name, _ string) bool {
		// Those of lds are of its stream, where empty responses count as updates.
		return !strings.HasPrefix(name, "envoy_listener_manager_") && !strings.HasPrefix(name, "envoy_cluster_manager_cluster_") ||
			strings.HasPrefix(name, "envoy_listener_manager_lds_")
	})
	if got["envoy_listener_manager_listener_added{}"] == "" && got["envoy_listener_manager_listener_added"] == "" {
		d.lab.t.Fatalf("Envoy's counters: %v", got)
	}
	return got
}

// moved says which of them differ.
func moved(before, after map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			out = append(out, fmt.Sprintf("%s was %s and is %s", name, before[name], after[name]))
		}
	}
	return out
}

// arguments are those of a Deployment in the cluster.
func (l *lab) arguments(deployment string) []string {
	l.t.Helper()
	d, err := l.client.AppsV1().Deployments(systemNamespace).Get(l.t.Context(), deployment, getOptions)
	if err != nil {
		l.t.Fatal(err)
	}
	var out []string
	for _, a := range d.Spec.Template.Spec.Containers[0].Args {
		out = append(out, strings.ReplaceAll(a, "$(POD_NAMESPACE)", systemNamespace))
	}
	return out
}

// ready says whether a process answers so to its probe.
func ready(health string) error {
	_, err := processes.Get("http://" + health + "/readyz")
	return err
}
