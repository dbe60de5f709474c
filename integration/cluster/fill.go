package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Fill writes objects, so many that to create them would take minutes: they go into etcd in the form in which the API server
// may keep them, each with its kind, version and UID. A key is where it keeps one, as secrets/NAMESPACE/NAME.
func (c *Cluster) Fill(t testing.TB, objects map[string]any) {
	t.Helper()
	var ops []etcdOp
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		text, err := json.Marshal(objects[key])
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, etcdOp{Put: &etcdPut{Key: []byte(registry + key), Value: text}})
	}
	if err := c.transact(ops); err != nil {
		t.Fatalf("fill the cluster: %v", err)
	}
}

// FillSecrets writes Secrets of a size into a namespace, as Helm's releases are.
func (c *Cluster) FillSecrets(t testing.TB, namespace string, count, size int) {
	t.Helper()
	data := bytes.Repeat([]byte("H4sI"), size/4)
	all := map[string]any{}
	for i := range count {
		name := fmt.Sprintf("sh.helm.release.v1.app-%d.v1", i)
		all["secrets/"+namespace+"/"+name] = &corev1.Secret{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), CreationTimestamp: metav1.Now(), Labels: map[string]string{"owner": "helm"}},
			Type:       "helm.sh/release.v1", Data: map[string][]byte{"release": data},
		}
	}
	c.Fill(t, all)
}
