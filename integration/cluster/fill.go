package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// FillSecrets writes Secrets of a size into a namespace, as Helm's releases are, so many that to create them would take
// minutes: they go into etcd in the form in which the API server may keep them.
func (c *Cluster) FillSecrets(t testing.TB, namespace string, count, size int) {
	t.Helper()
	data := bytes.Repeat([]byte("H4sI"), size/4)
	var ops []etcdOp
	for i := range count {
		name := fmt.Sprintf("sh.helm.release.v1.app-%d.v1", i)
		text, err := json.Marshal(&corev1.Secret{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), CreationTimestamp: metav1.Now(), Labels: map[string]string{"owner": "helm"}},
			Type:       "helm.sh/release.v1", Data: map[string][]byte{"release": data},
		})
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, etcdOp{Put: &etcdPut{Key: []byte(registry + "secrets/" + namespace + "/" + name), Value: text}})
	}
	if err := c.transact(ops); err != nil {
		t.Fatalf("fill the cluster with Secrets: %v", err)
	}
}
