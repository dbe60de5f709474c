package inspect

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/dataplane/failing"
)

const (
	// replicaPath is where a replica tells of itself alone.
	replicaPath = "/replica"
	// replicaHeader says that another replica asks, which wants to know of this one alone.
	replicaHeader = "Postern-Replica"
	// replicasInterval is how old what other replicas said may be before they are asked again; replicaTimeout is how long one may
	// take, replicasAtOnce how many are asked at once, replicasAsked how many at all.
	replicasInterval = 2 * time.Second
	replicaTimeout   = time.Second
	replicasAtOnce   = 16
	replicasAsked    = 64
	// replicaBytesMax is the longest answer, in bytes: what a proxy has of 10,000 hosts.
	replicaBytesMax = 64 << 20
)

// Replica is what one replica of the control plane knows and the others do not: the JSON of /replica.
type Replica struct {
	// Name is that of its pod.
	Name string `json:"name"`
	// Process is another one in each process, by which a replica knows itself among those that it asks.
	Process string `json:"process"`
	// Proxies are those that are connected to it. Of their lists what is refused is there, and the first of what is pending.
	Proxies []Proxy `json:"proxies"`
	Told
	// Error is why it says nothing, in the words of who asked it.
	Error string `json:"-"`
}

// replicas asks the other replicas of a control plane, each of which knows its own proxies, as whoever looks: by the credential
// that came with the question, which all of them take. Nothing is asked unless somebody looks.
type replicas struct {
	// name is a DNS name with the addresses of all replicas, this one among them; find gives where they answer.
	name string
	find func(ctx context.Context) ([]netip.AddrPort, error)
	// host is a name that each is asked by, empty for its address.
	host    string
	process string
	scheme  string
	client  *http.Client
	// timeout is how long one may take.
	timeout time.Duration

	// mu is held while they are asked: who looks meanwhile waits for the same answers.
	mu   sync.Mutex
	last []Replica // guarded by mu
	at   time.Time // guarded by mu
}

// newReplicas makes replicas by a name. With a key pair they are asked over TLS, and must show the same certificate: it is mounted
// into all of them.
func newReplicas(name string, port uint16, host string, pair *keyPair) *replicas {
	rs := &replicas{name: name, host: host, scheme: "http", timeout: replicaTimeout}
	rs.find = func(ctx context.Context) ([]netip.AddrPort, error) {
		addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		var out []netip.AddrPort
		for _, a := range addresses {
			out = append(out, netip.AddrPortFrom(a.Unmap(), port))
		}
		return out, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if pair != nil {
		rs.scheme, transport.TLSClientConfig = "https", &tls.Config{
			MinVersion: tls.VersionTLS13,
			// No name is looked at: addresses stand in no certificate. The certificate itself is, below.
			InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				own, err := pair.get(nil)
				if err != nil || !bytes.Equal(own.Certificate[0], s.PeerCertificates[0].Raw) {
					return errors.New("its certificate is not that of --inspect-cert-dir here")
				}
				return nil
			},
		}
	}
	rs.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return rs
}

// others are the replicas beside this one, sorted by name, as of replicasInterval ago at most. It asks as the authorization does,
// and takes as long as the slowest, or replicaTimeout.
func (rs *replicas) others(ctx context.Context, authorization string) []Replica {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if time.Since(rs.at) < replicasInterval {
		return rs.last
	}
	// Others wait for the same answers, whoever goes away meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*rs.timeout)
	defer cancel()
	rs.last, rs.at = rs.ask(ctx, authorization), time.Now()
	return rs.last
}

func (rs *replicas) ask(ctx context.Context, authorization string) []Replica {
	addresses, err := rs.find(ctx)
	if err != nil {
		return []Replica{{Name: rs.name, Error: "the other replicas are not found: " + withoutServer(err)}}
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	addresses = slices.Compact(addresses)
	all := make([]Replica, min(len(addresses), replicasAsked))
	var group errgroup.Group
	group.SetLimit(replicasAtOnce)
	for i := range all {
		at := addresses[i].String()
		group.Go(func() error {
			if err := rs.get(ctx, at, replicaPath, authorization, &all[i]); err != nil {
				all[i] = Replica{Error: silence(at, err)}
			}
			all[i].Name = cmp.Or(all[i].Name, at)
			for j := range all[i].Proxies {
				all[i].Proxies[j].Replica, all[i].Proxies[j].at = all[i].Name, at
			}
			return nil
		})
	}
	_ = group.Wait() // None of them fails.
	all = slices.DeleteFunc(all, func(r Replica) bool { return r.Process == rs.process })
	slices.SortFunc(all, func(a, b Replica) int { return strings.Compare(a.Name, b.Name) })
	if more := len(addresses) - replicasAsked; more > 0 {
		all = append(all, Replica{Name: rs.name, Error: fmt.Sprintf("%s are not asked", plural(more, "replica"))})
	}
	return all
}

// withoutServer is an error of a lookup without the server that was asked, from another port each time.
func withoutServer(err error) string {
	var of *net.DNSError
	if errors.As(err, &of) {
		return of.Name + ": " + of.Err
	}
	return err.Error()
}

// get asks one replica for JSON.
func (rs *replicas) get(ctx context.Context, at, path, authorization string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, rs.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, rs.scheme+"://"+at+path, nil)
	if err != nil {
		return err
	}
	request.Host = rs.host
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", authorization)
	request.Header.Set(replicaHeader, rs.process)
	response, err := rs.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%s does not take the credential that is taken here", at)
	default:
		return fmt.Errorf("%s answers %s", at, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, replicaBytesMax)).Decode(into); err != nil {
		return fmt.Errorf("read what %s says: %w", at, err)
	}
	return nil
}

// asking is a question to the replicas, as whoever looks.
type asking struct {
	*replicas
	authorization string
}

// streams are those of a node at its replica, with all that they have.
func (a asking) streams(of Proxy) ([]Proxy, error) {
	ctx, cancel := context.WithTimeout(context.Background(), replicaTimeout)
	defer cancel()
	var all ProxyStreams
	if err := a.get(ctx, of.at, "/proxies/"+Escaped(of.Node), a.authorization, &all); err != nil {
		return nil, unanswered{fmt.Errorf("%s is connected to the replica %s, which does not answer: %s", of.Node, of.Replica, silence(of.at, err))}
	}
	var out []Proxy
	for _, p := range all.Streams {
		p.Replica = of.Replica
		out = append(out, p)
	}
	return out, nil
}

// beside is a View with what other replicas know.
func (v View) beside(ctx context.Context, a asking) View {
	v.asking = a
	v.Others = a.others(ctx, a.authorization)
	silent := map[string]string{}
	maps.Copy(silent, v.own.Silent)
	seen := [][]failing.Failure{v.own.Failures}
	for _, o := range v.Others {
		seen = append(seen, o.Failures)
		maps.Copy(silent, o.Silent)
	}
	v.Silent, v.Failing = silent, map[string]failing.Failure{}
	for _, f := range failing.Merge(seen...) {
		v.Failing[f.Cluster] = f
	}
	return v
}

// serveReplica is what this replica knows, for the others.
func serveReplica(v View, _ *http.Request) (any, error) {
	out := Replica{Name: v.replica, Process: v.process, Proxies: v.ownProxies(), Told: v.own}
	for i := range out.Proxies {
		out.Proxies[i].short(namesShown)
	}
	return out, nil
}
