package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// registry is the prefix of all that the API server keeps in etcd.
const registry = "/registry/"

// opsMax is how many operations etcd takes in one transaction (--max-txn-ops).
const opsMax = 128

// The messages of etcd's API in their JSON form, which its gRPC gateway speaks; []byte is base64 there.
type (
	etcdRange struct {
		Key      []byte `json:"key"`
		RangeEnd []byte `json:"range_end,omitempty"`
		KeysOnly bool   `json:"keys_only,omitempty"`
	}
	etcdPut struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
	etcdOp struct {
		Put    *etcdPut   `json:"requestPut,omitempty"`
		Delete *etcdRange `json:"requestDeleteRange,omitempty"`
	}
	etcdTxn struct {
		Success []etcdOp `json:"success"`
	}
)

// callEtcd calls a method of etcd.
func (c *Cluster) callEtcd(method string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	answer, err := etcdClient.Post(c.etcd+"/v3/kv/"+method, "application/json", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask etcd for %s: %s", method, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(response)
}

// etcdClient leaves no goroutine behind that waits for a connection's next use.
var etcdClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// barrier is a key that the API server knows nothing of.
const barrier = "/postern-tests/barrier"

// Keep has what is there now be there for later tests, too. It costs them the time to make it again, and where the API server
// reads its own objects, as roles, a moment in which it goes by those of before.
func (c *Cluster) Keep(t testing.TB) {
	t.Helper()
	own, err := c.keys()
	if err != nil {
		t.Fatalf("keep what is there: %v", err)
	}
	c.own = own
}

// transact does operations in as many transactions as they need. What one transaction changes has one revision in etcd, which
// the API server, whose own change one key, takes for seen when it has seen the first of it; so another revision follows, and
// whoever lists after this is shown everything.
func (c *Cluster) transact(ops []etcdOp) error {
	for len(ops) > 0 {
		n := min(len(ops), opsMax)
		if err := c.callEtcd("txn", etcdTxn{Success: ops[:n]}, &struct{}{}); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return c.callEtcd("put", etcdPut{Key: []byte(barrier)}, &struct{}{})
}

// keys are those of all objects.
func (c *Cluster) keys() (map[string]bool, error) {
	var answer struct {
		KVs []struct {
			Key []byte `json:"key"`
		} `json:"kvs"`
	}
	end := strings.TrimSuffix(registry, "/") + string('/'+1)
	if err := c.callEtcd("range", etcdRange{Key: []byte(registry), RangeEnd: []byte(end), KeysOnly: true}, &answer); err != nil {
		return nil, err
	}
	all := make(map[string]bool, len(answer.KVs))
	for _, kv := range answer.KVs {
		all[string(kv.Key)] = true
	}
	return all, nil
}

// late are the beginnings of keys that the API server makes by itself after it is ready, lateObjects whole ones.
var (
	late = []string{
		"leases/kube-system/apiserver-", "configmaps/kube-system/kube-apiserver-", "configmaps/kube-system/extension-apiserver-",
		"masterleases/", "ranges/", "servicecidrs/", "apiregistration.k8s.io/", "flowschemas/", "prioritylevelconfigurations/",
	}
	lateObjects = []string{"services/specs/default/kubernetes", "services/endpoints/default/kubernetes", "endpointslices/default/kubernetes", "ipaddresses/10.96.0.1"}
)

func isLate(key string) bool {
	key = strings.TrimPrefix(key, registry)
	return slices.Contains(lateObjects, key) || slices.ContainsFunc(late, func(part string) bool { return strings.HasPrefix(key, part) })
}

// wipe deletes what the API server did not make by itself. It does so in etcd, since without its controller a namespace is
// never gone otherwise; who watches sees each object go.
func (c *Cluster) wipe() error {
	all, err := c.keys()
	if err != nil {
		return fmt.Errorf("wipe the cluster: %w", err)
	}
	var ops []etcdOp
	for key := range all {
		if c.own[key] || isLate(key) {
			continue
		}
		ops = append(ops, etcdOp{Delete: &etcdRange{Key: []byte(key)}})
	}
	if err := c.transact(ops); err != nil {
		return fmt.Errorf("wipe the cluster: %w", err)
	}
	return nil
}
