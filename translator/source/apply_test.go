package source_test

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/source"
)

func ingress(name, class string, created time.Time) source.Ingress {
	return source.Ingress{Ingress: &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(created)},
		Spec:       networkingv1.IngressSpec{IngressClassName: &class},
	}}
}

func secret(name, value string) source.Secret {
	return source.Secret{Secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{"x": []byte(value)}}}
}

// TestApply: what is named is replaced and keeps its age, what is new is of now, what is not named stays; neither World is
// written to.
func TestApply(t *testing.T) {
	old, now, own := time.Unix(1000, 0), time.Unix(2000, 0), time.Unix(1500, 0)
	before := func() source.World {
		return source.World{
			Ingresses: []source.Ingress{ingress("a", "one", old), ingress("b", "one", old)}, Secrets: []source.Secret{secret("s", "one")},
			Unread: []source.Unread{{Kind: "Secret", Namespace: "shop", Name: "hidden"}, {Kind: "ConfigMap", Namespace: "shop", Name: "hidden"}},
		}
	}
	applied := func() source.World {
		return source.World{
			Ingresses: []source.Ingress{ingress("b", "two", time.Time{}), ingress("new", "two", time.Time{}), ingress("restored", "two", own)},
			Secrets:   []source.Secret{secret("hidden", "two")},
		}
	}
	w, by := before(), applied()
	want := source.World{
		Ingresses: []source.Ingress{ingress("a", "one", old), ingress("b", "two", old), ingress("new", "two", now), ingress("restored", "two", own)},
		Secrets:   []source.Secret{secret("s", "one"), secret("hidden", "two")},
		Unread:    []source.Unread{{Kind: "ConfigMap", Namespace: "shop", Name: "hidden"}},
	}
	if got := w.Apply(by, now); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v", got)
	}
	if !reflect.DeepEqual(w, before()) || !reflect.DeepEqual(by, applied()) {
		t.Errorf("a World was written to: %+v, %+v", w, by)
	}
	if got := w.Apply(source.World{}, now); !reflect.DeepEqual(got, before()) {
		t.Errorf("with nothing applied it is %+v", got)
	}
}
