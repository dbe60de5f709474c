package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/dataplane/failing"
)

// replica is one of a control plane's, and where it answers.
type replica struct {
	*live
	*Listener
}

// startReplicas are some that serve the same, and know of each other.
func startReplicas(t *testing.T, f Flags, names ...string) []replica {
	t.Helper()
	var all []replica
	var at []netip.AddrPort
	for _, name := range names {
		l := newLive(t)
		l.inspector.config.Replica = name
		l.publish(shop)
		f.Replicas = "replicas.test"
		listener := serve(t, l.inspector, f)
		at = append(at, listener.Addr().(*net.TCPAddr).AddrPort())
		all = append(all, replica{l, listener})
	}
	for _, r := range all {
		r.Listener.replicas.timeout = waitMax // However slow the machine is.
		r.Listener.replicas.find = func(context.Context) ([]netip.AddrPort, error) { return slices.Clone(at), nil }
	}
	return all
}

// forget has the others asked again by the next question.
func (r replica) forget() {
	r.Listener.replicas.mu.Lock()
	defer r.Listener.replicas.mu.Unlock()
	r.Listener.replicas.at = time.Time{}
}

// look asks a page as JSON, by the token.
func (r replica) look(t *testing.T, token, page string, into any) int {
	t.Helper()
	r.forget()
	answer, body := ask(t, "GET", r.URL+page, func(q *http.Request) {
		q.Header.Set("Authorization", "Bearer "+token)
		q.Header.Set("Accept", "application/json")
	})
	if into != nil {
		reflect.ValueOf(into).Elem().SetZero() // What an earlier answer had is not kept where this one says nothing.
		if err := json.Unmarshal([]byte(body), into); err != nil {
			t.Fatalf("%s: %v\n%s", page, err, body)
		}
	}
	return answer.StatusCode
}

const replicasToken = "0123456789abcdef0123456789abcdef"

// TestReplicas: whichever replica is asked tells of all proxies, what they refuse and what they see fail, and of a replica that
// does not answer that its proxies are not known.
func TestReplicas(t *testing.T) {
	token := writeFile(t, "token", replicasToken)
	all := startReplicas(t, Flags{TokenFile: token}, "control-1", "control-2", "control-3")
	one, two := all[0], all[1]
	one.proxy("near", takesAll)
	two.proxy("pod/far", func(name string) string { return name + " is not wanted" })
	at := time.Unix(1_700_000_000, 0).UTC()
	two.inspector.config.Failing = func() Told {
		return Told{Failures: []failing.Failure{{Cluster: "default/shop/80", Reason: "connection refused", Count: 3, First: at, Last: at}}, Silent: map[string]string{"pod/far": "no route"}}
	}
	var list Proxies
	eventually(t, func() bool {
		one.look(t, replicasToken, "proxies", &list)
		return len(list.Proxies) == 2 && len(list.Proxies[1].Types) == 2 && list.Proxies[1].Types[0].LastNACK != nil && list.Proxies[0].Behind == 0
	})
	if list.Proxies[0].Node != "near" || list.Proxies[0].Replica != "" || list.Proxies[1].Node != "pod/far" || list.Proxies[1].Replica != "control-2" {
		t.Errorf("the proxies are %+v", list.Proxies)
	}
	if len(list.Replicas) != 2 || list.Replicas[0] != (ReplicaState{Name: "control-2", Proxies: 1}) || list.Replicas[1] != (ReplicaState{Name: "control-3"}) {
		t.Errorf("the replicas are %+v", list.Replicas)
	}
	var streams ProxyStreams
	if status := one.look(t, replicasToken, "proxies/pod/far", &streams); status != 200 || len(streams.Streams) != 1 ||
		streams.Streams[0].Replica != "control-2" || len(streams.Streams[0].Types[0].Refused) != 1 {
		t.Errorf("%d, %+v", status, streams)
	}
	var page struct {
		Connections []struct {
			Replica string
			Types   []struct{ NACK *nackRow }
		}
	}
	if status := one.look(t, replicasToken, "proxy?node=pod/far", &page); status != 200 || page.Connections[0].Replica != "control-2" || page.Connections[0].Types[0].NACK == nil {
		t.Errorf("%d, %+v", status, page)
	}
	var refused struct{ Resources []Resource }
	if one.look(t, replicasToken, "resources/clusters", &refused); len(refused.Resources) != 1 || !slices.Equal(refused.Resources[0].RefusedBy, []string{"pod/far"}) {
		t.Errorf("refused is %+v", refused)
	}
	var overview struct {
		Counts   counts
		Problems []struct{ What string }
	}
	one.look(t, replicasToken, "", &overview)
	var problems []string
	for _, p := range overview.Problems {
		problems = append(problems, p.What)
	}
	if overview.Counts.Proxies != 2 || !slices.Equal(problems, []string{"Proxy pod/far", "Service default/shop port 80"}) {
		t.Errorf("the overview has %+v", overview)
	}
	three := all[2]
	var again Proxies
	if three.look(t, replicasToken, "proxies", &again); len(again.Proxies) != 2 || again.Proxies[0].Replica != "control-1" {
		t.Errorf("the third says %+v", again)
	}

	// A node that two replicas know, since it makes its connection anew, is told of by each of them, and asking ends.
	one.proxy("pod/far", takesAll)
	eventually(t, func() bool {
		status := three.look(t, replicasToken, "proxies/pod/far", &streams)
		return status == 200 && len(streams.Streams) == 2
	})

	gone := httptest.NewServer(nil)
	gone.Close()
	dead := netip.MustParseAddrPort(strings.TrimPrefix(gone.URL, "http://"))
	others := one.Listener.replicas.find
	one.Listener.replicas.find = func(ctx context.Context) ([]netip.AddrPort, error) {
		found, err := others(ctx)
		return append(found, dead), err
	}
	one.look(t, replicasToken, "proxies", &list)
	if len(list.Replicas) != 3 || !strings.Contains(list.Replicas[0].Error, "connection refused") {
		t.Errorf("with one that is gone the replicas are %+v", list.Replicas)
	}
	one.Listener.replicas.find = func(context.Context) ([]netip.AddrPort, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "replicas.test", Server: "127.0.0.1:53"}
	}
	one.look(t, replicasToken, "proxies", &list)
	if len(list.Replicas) != 1 || list.Replicas[0].Error != "the other replicas are not found: replicas.test: no such host" {
		t.Errorf("without DNS the replicas are %+v", list.Replicas)
	}
}

// TestReplicasOverTLS: they are asked over TLS where that is spoken, and get no credential unless they show the same certificate.
func TestReplicasOverTLS(t *testing.T) {
	token := writeFile(t, "token", replicasToken)
	all := startReplicas(t, Flags{TokenFile: token, CertDir: certificateFolder(t)}, "control-1", "control-2")
	insecure := func(r replica) []Replica {
		r.forget()
		return r.Listener.replicas.others(t.Context(), "Bearer "+replicasToken)
	}
	if got := insecure(all[0]); len(got) != 1 || got[0].Name != "control-2" || got[0].Error != "" {
		t.Errorf("they say %+v", got)
	}
	asked := false
	stranger := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	defer stranger.Close()
	all[0].Listener.replicas.find = func(context.Context) ([]netip.AddrPort, error) {
		return []netip.AddrPort{netip.MustParseAddrPort(strings.TrimPrefix(stranger.URL, "https://"))}, nil
	}
	if got := insecure(all[0]); len(got) != 1 || !strings.Contains(got[0].Error, "is not that of --inspect-cert-dir") || asked {
		t.Errorf("a stranger, asked %v: %+v", asked, got)
	}
}

// TestReplicasAreAskedByName: where a name is asked for, the others are asked by it; who looks by another credential gets what
// that one may see.
func TestReplicasAreAskedByName(t *testing.T) {
	token := writeFile(t, "token", replicasToken)
	all := startReplicas(t, Flags{TokenFile: token, Hosts: []string{"inspect.test"}}, "control-1", "control-2")
	got := all[0].Listener.replicas.others(t.Context(), "Bearer "+replicasToken)
	if len(got) != 1 || got[0].Error != "" {
		t.Errorf("they say %+v", got)
	}
	all[0].forget()
	got = all[0].Listener.replicas.others(t.Context(), "Bearer another")
	if len(got) != 2 || !strings.Contains(got[0].Error, "does not take the credential") {
		t.Errorf("by another credential they say %+v", got)
	}
}

// eventually waits for what others do.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitMax); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it is not so")
		}
	}
}

// certificateFolder has a key pair.
func certificateFolder(t *testing.T) string {
	t.Helper()
	c, err := options.SelfSigned()
	dir := t.TempDir()
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "tls.crt"), c.Chain, 0o600), os.WriteFile(filepath.Join(dir, "tls.key"), c.Key, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
