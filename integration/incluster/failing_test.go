package incluster

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// told is how long the page may take to say what a data plane has seen fail: it is asked every five seconds.
const told = 20 * time.Second

// TestFailuresAreTold: a backend that refuses connections is red on the page, with the words of the data plane that has found
// out, which is a process of another pod; one that answers is not.
func TestFailuresAreTold(t *testing.T) {
	const words = "connection refused"
	for _, plane := range []string{"go", "envoy"} {
		t.Run(plane, func(t *testing.T) {
			if plane == "envoy" {
				live.NeedEnvoy(t)
			}
			r := install(t, manifests.Release{Set: []string{
				fmt.Sprintf(`dataPlane.proxy=%q`, plane), `dashboard.enabled=true`, `dataPlane.drain.delaySeconds=0`,
			}})
			backend(t, "10.244.0.9:9000")
			r.cluster.Apply(t, service+endpoint("10.244.0.9")+ingress("/", ""))
			const pods = "10.244.1.1"
			r.resolveServices("postern-controlplane", pods)
			r.run("postern-controlplane", pods, nil).awaitReady()
			// A connection within this machine comes from the address that it goes to, so that both pods have the same.
			r.run("postern-dataplane", pods, nil).awaitReady()
			await(t, "the Ingress", "/", "200 10.244.0.9:9000")
			v := r.visitor(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: processes.WaitMax}, "http://"+pods+":8083/")
			healthy := backendState{Health: health{State: "healthy"}}
			if b, err := v.backendOf("web"); err != nil || !reflect.DeepEqual(b, healthy) {
				t.Fatalf("before, the page says %+v, %v", b, err)
			}

			r.cluster.Apply(t, endpoint("10.244.0.10"))
			await(t, "a refused connection", "/", "503")
			began := time.Now()
			processes.Eventually(t, "the failure", func() error {
				b, err := v.backendOf("web")
				if err == nil && (b.Health.State != "failing" || !strings.Contains(strings.Join(b.Failures, "\n"), words)) {
					err = fmt.Errorf("the page says %+v", b)
				}
				return err
			})
			if took := time.Since(began); took > told {
				t.Errorf("it is told after %s", took)
			}
			v.shows("services", "✕", "failing", words)
			v.shows("", "✕", words)
		})
	}
}

// backendState is what the page of a backend says of it, as JSON.
type backendState struct {
	Health   health
	Failures []string
}

type health struct {
	State   string
	Reasons []string
}

// backendOf asks for the one backend of a Service in the namespace shop.
func (v visitor) backendOf(service string) (backendState, error) {
	var page struct{ Backends []backendState }
	err := v.data("service?namespace=shop&name="+service, &page)
	if err == nil && len(page.Backends) != 1 {
		err = fmt.Errorf("%d backends", len(page.Backends))
	}
	if err != nil {
		return backendState{}, err
	}
	return page.Backends[0], nil
}
