package incluster

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// TestReplicasTellOfAllProxies: the page of a replica to which no proxy is connected shows the one at the other, and what that
// sees fail; once that replica has gone its proxy is at this one.
func TestReplicasTellOfAllProxies(t *testing.T) {
	r := install(t, manifests.Release{Set: []string{`dataPlane.proxy="go"`, `dashboard.enabled=true`, `dataPlane.drain.delaySeconds=0`}})
	r.cluster.Apply(t, service+endpoint("10.244.0.10")+ingress("/", ""))
	server := r.resolveServices("postern-controlplane", replicas[0])
	var all dnstest.Record
	for _, address := range replicas {
		all.Addresses = append(all.Addresses, netip.MustParseAddr(address))
	}
	server.Set("postern-inspect-replicas."+system+".svc.cluster.local", all)
	var pods []*pod
	for _, address := range replicas {
		p := r.run("postern-controlplane", address, nil)
		p.awaitReady()
		pods = append(pods, p)
	}
	// At the address of the replica that it is connected to, as in TestFailuresAreTold.
	r.run("postern-dataplane", replicas[0], nil).awaitReady()
	await(t, "a refused connection", "/", "503")

	v := r.visitor(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: processes.WaitMax}, "http://"+replicas[1]+":8083/")
	tells := func(proxy, replica string) func() error {
		return func() error {
			var list struct {
				Proxies []struct{ Node, Replica string }
			}
			err := v.data("proxies", &list)
			if err == nil && (len(list.Proxies) != 1 || !strings.Contains(list.Proxies[0].Node, proxy) || list.Proxies[0].Replica != replica) {
				err = fmt.Errorf("the proxies are %+v", list)
			}
			return err
		}
	}
	processes.Eventually(t, "the proxy at the other replica", tells("postern-dataplane", pods[0].name))
	v.shows("proxies", "at the replica "+pods[0].name)
	v.shows("service?namespace=shop&name=web", "connection refused")

	server.Set("postern-controlplane."+system+".svc.cluster.local", dnstest.Record{Addresses: all.Addresses[1:]})
	pods[0].Kill()
	v.shows("proxies", "Replica "+replicas[0]+":8083", "its proxies are not known", "connection refused")
	processes.Eventually(t, "the proxy at this replica", tells("postern-dataplane", ""))
}
