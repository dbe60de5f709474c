package names_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/names"
	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	corpusFile = "testdata/corpus.txtar"
	// corpusMin is how many ways in are tried at least.
	corpusMin = 60
	// waitMax is a hang limit, not a measure.
	waitMax = 60 * time.Second
)

// free are the only ranges in which the zone has addresses that may be connected to.
var free = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/48"), netip.MustParsePrefix("64:ff9b::192.0.2.0/120")}

// cluster is what must not be reached.
const cluster = `
{apiVersion: v1, kind: Service, metadata: {name: kubernetes}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: postern, namespace: edge, labels: {app.kubernetes.io/name: postern}}, spec: {clusterIP: 10.96.0.3, ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{ip: 198.51.100.11}, {hostname: edge-1.lb.example}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10, "fd00:96::10"], externalIPs: [198.51.100.10], ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.5]}], ports: [{port: 80}]}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: old}, subsets: [{addresses: [{ip: 10.244.0.6}], ports: [{port: 80}]}]}
---
{apiVersion: v1, kind: Node, metadata: {name: node-1}, spec: {podCIDRs: [10.245.0.0/16, "fd00:245::/64"]}, status: {addresses: [{type: InternalIP, address: 198.51.100.20}, {type: InternalIP, address: "2001:db8:1::20"}, {type: Hostname, address: node-1.example}]}}
`

// policy allows whatever a list can.
func policy(t *testing.T) translator.Settings {
	t.Helper()
	external, err := resolve.ParseExternalNames([]string{"cluster", "example", "local", "internal", "localhost", "127.0.0.1", "svc", "good.test", "bad.test"})
	if err != nil {
		t.Fatal(err)
	}
	external.Deny = []netip.Prefix{netip.MustParsePrefix("10.200.0.0/16"), netip.MustParsePrefix("fd00:dead::/32")}
	external.Own = []netip.Addr{netip.MustParseAddr("198.51.100.30")}
	return translator.Settings{Resolve: resolve.Settings{
		Entries:       []model.Entry{{Name: "http", Address: netip.MustParseAddrPort("198.51.100.31:80")}},
		ClusterDomain: "cluster.local", ExternalNames: external,
		Backends: []resolve.BackendAddress{{Service: resolve.ServiceKey{Namespace: "a", Name: "b"}, Port: model.PortRef{Number: 1}, Address: netip.MustParseAddrPort("198.51.100.32:1")}},
	}}
}

// worldOf has an ExternalName for each target, and an Ingress that leads to it.
func worldOf(t *testing.T, targets []string) source.World {
	t.Helper()
	w, err := files.Decode("cluster.yaml", []byte(cluster))
	if err != nil {
		t.Fatal(err)
	}
	prefix := networkingv1.PathTypePrefix
	for i, target := range targets {
		meta := metav1.ObjectMeta{Namespace: "tenant", Name: serviceName(i)}
		w.Services = append(w.Services, source.Service{Service: &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeExternalName, ExternalName: target, Ports: []corev1.ServicePort{{Port: 80}},
		}}})
		w.Ingresses = append(w.Ingresses, source.Ingress{Ingress: &networkingv1.Ingress{ObjectMeta: meta, Spec: networkingv1.IngressSpec{
			Rules: []networkingv1.IngressRule{{Host: serviceName(i) + ".host", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{Name: serviceName(i), Port: networkingv1.ServiceBackendPort{Number: 80}},
				}}},
			}}}},
		}}})
	}
	return w
}

func serviceName(i int) string { return fmt.Sprintf("s%03d", i) }

// fate is what became of the ExternalName of a number.
func fate(r translator.Result, i int) (endpoints []netip.AddrPort, reasons []string) {
	for _, a := range r.Gateway.Assignments {
		if a.Name == "tenant/"+serviceName(i)+"/80" {
			endpoints = a.Endpoints
		}
	}
	for _, d := range r.Diagnostics {
		if d.Origin.Namespace == "tenant" && d.Origin.Name == serviceName(i) && d.Severity > diag.Info {
			reasons = append(reasons, fmt.Sprintf("%s %s", d.Code, d.Message))
		}
	}
	return endpoints, reasons
}

// readZone tells the server of the zone and gives its names that end in .test.
func readZone(t *testing.T, server *dnstest.Server, zone []byte) []string {
	t.Helper()
	codes := map[string]dnsmessage.RCode{"NXDOMAIN": dnsmessage.RCodeNameError, "SERVFAIL": dnsmessage.RCodeServerFailure, "REFUSED": dnsmessage.RCodeRefused}
	var out []string
	for line := range strings.Lines(string(zone)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		var r dnstest.Record
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			switch key {
			case "alias":
				r.Alias = value
			case "code":
				r.Code = codes[value]
			case "truncated":
				r.Truncated = true
			case "forged":
				r.Forged = append(r.Forged, netip.MustParseAddr(value))
			default:
				r.Addresses = append(r.Addresses, netip.MustParseAddr(w))
			}
		}
		server.Set(words[0], r)
		if strings.HasSuffix(words[0], ".test") {
			out = append(out, words[0])
		}
	}
	return out
}

// resolver runs a Resolver at the server until the test ends, and gives its answers.
func resolver(t *testing.T, server *dnstest.Server) (*names.Resolver, <-chan []source.ResolvedName) {
	t.Helper()
	r := names.New(names.Options{Servers: server.Servers, TTLMin: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	answers, done := make(chan []source.ResolvedName), make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx, func(all []source.ResolvedName) {
			select {
			case answers <- all:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r, answers
}

// next waits for answers that are as they must be.
func next(t *testing.T, answers <-chan []source.ResolvedName, enough func([]source.ResolvedName) bool) []source.ResolvedName {
	t.Helper()
	limit := time.After(waitMax)
	for {
		select {
		case all := <-answers:
			if enough(all) {
				return all
			}
		case <-limit:
			t.Fatal("DNS does not answer as it must")
		}
	}
}

// TestExternalNamesReachNothingRefused runs the corpus through the resolver and the translator: nothing that is inside gets
// an endpoint, whatever is refused says why, and what is free to be connected to is served.
func TestExternalNamesReachNothingRefused(t *testing.T) {
	archive, err := txtar.ParseFile(corpusFile)
	if err != nil || len(archive.Files) != 3 {
		t.Fatalf("%d files, %v", len(archive.Files), err)
	}
	var targets []string
	for line := range strings.Lines(string(archive.Files[0].Data)) {
		target, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		targets = append(targets, target)
	}
	server := dnstest.Start(t)
	targets = append(targets, readZone(t, server, archive.Files[1].Data)...)
	if len(targets) < corpusMin {
		t.Errorf("%d ways in are tried, want at least %d", len(targets), corpusMin)
	}
	world, settings := worldOf(t, targets), policy(t)
	wanted := translator.Translate(world, settings).Gateway.OutsideNames
	resolver, answers := resolver(t, server)
	resolver.Want(wanted)
	world.Names = next(t, answers, func(all []source.ResolvedName) bool { return len(all) == len(wanted) })
	result := translator.Translate(world, settings)
	for _, name := range server.AskedFor() {
		if !slices.Contains(wanted, name) {
			t.Errorf("DNS is asked for %q, which is not wanted", name)
		}
	}
	var reasons bytes.Buffer
	for i, target := range targets {
		endpoints, why := fate(result, i)
		for _, e := range endpoints {
			if !slices.ContainsFunc(free, func(p netip.Prefix) bool { return p.Contains(e.Addr()) }) {
				t.Errorf("%q reaches %s", target, e)
			}
		}
		good := target == "good.test" || strings.HasSuffix(target, ".good.test") && slices.Contains(wanted, target)
		if good != (len(endpoints) > 0) {
			t.Errorf("%q has the endpoints %v", target, endpoints)
		}
		if !good && len(why) == 0 {
			t.Errorf("%q is refused without a reason", target)
		}
		text := append([]string{}, why...)
		if len(endpoints) > 0 {
			text = append([]string{fmt.Sprint(endpoints)}, why...)
		}
		fmt.Fprintf(&reasons, "%+q %s\n", target, strings.Join(text, "; "))
	}
	archive.Files[2].Data = reasons.Bytes()
	text := txtar.Format(archive)
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(corpusFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old, err := os.ReadFile(corpusFile); err != nil || !bytes.Equal(old, text) {
		t.Errorf("%s differs (%v); UPDATE=1 go test writes it anew, with the reasons\n%s", corpusFile, err, reasons.Bytes())
	}
}

// TestRebinding: an answer that turns bad loses its bad addresses at once, whatever it was before; a failing server keeps
// the last good answer, and a good one comes back.
func TestRebinding(t *testing.T) {
	server := dnstest.Start(t)
	settings := policy(t)
	world := worldOf(t, []string{"turn.good.test"})
	good, inside, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.2")
	server.Set("turn.good.test", dnstest.Record{Addresses: []netip.Addr{good}})
	resolver, answers := resolver(t, server)
	resolver.Want(translator.Translate(world, settings).Gateway.OutsideNames)
	for _, step := range []struct {
		record dnstest.Record
		want   string
		fault  bool
	}{
		{dnstest.Record{Addresses: []netip.Addr{good}}, "[192.0.2.1:80]", false},
		{dnstest.Record{Addresses: []netip.Addr{good, inside}}, "[192.0.2.1:80]", false},
		{dnstest.Record{Addresses: []netip.Addr{inside}}, "[]", false},
		{dnstest.Record{Alias: "localhost"}, "[]", true},
		{dnstest.Record{Addresses: []netip.Addr{other, inside}}, "[192.0.2.2:80]", false},
		{dnstest.Record{Code: dnsmessage.RCodeServerFailure}, "[192.0.2.2:80]", true},
		{dnstest.Record{Addresses: []netip.Addr{good}}, "[192.0.2.1:80]", false},
	} {
		server.Set("turn.good.test", step.record)
		world.Names = next(t, answers, func(all []source.ResolvedName) bool {
			return len(all) == 1 && (all[0].Fault != "") == step.fault && (step.fault || slices.Equal(all[0].Addresses, sorted(step.record.Addresses)))
		})
		endpoints, _ := fate(translator.Translate(world, settings), 0)
		if got := fmt.Sprint(endpoints); got != step.want {
			t.Errorf("after %+v the endpoints are %s, want %s", step.record, got, step.want)
		}
	}
}

func sorted(addresses []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(addresses), netip.Addr.Compare)
}
