package resolve

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/source"
)

func parseAll(text string) []netip.Addr {
	var out []netip.Addr
	for _, word := range strings.Fields(text) {
		out = append(out, netip.MustParseAddr(word))
	}
	return out
}

// TestReachable: a family counts where the machine has a way to it, and never takes the last address.
func TestReachable(t *testing.T) {
	const loopback = " 127.0.0.1 ::1 fe80::1"
	for _, c := range []struct{ addresses, own, want string }{
		{"192.0.2.1 2001:db8::1", "", "192.0.2.1"},
		{"192.0.2.1 2001:db8::1", "10.0.0.5" + loopback, "192.0.2.1"},
		{"192.0.2.1 2001:db8::1", "10.0.0.5 fd00::5" + loopback, "192.0.2.1"},
		{"192.0.2.1 2001:db8::1", "10.0.0.5 2a00::5" + loopback, "192.0.2.1 2001:db8::1"},
		{"192.0.2.1 2001:db8::1", "fd00::5" + loopback, "2001:db8::1"},
		{"2001:db8::1", "10.0.0.5" + loopback, "2001:db8::1"},
		{"192.0.2.1", "2a00::5" + loopback, "192.0.2.1"},
	} {
		if got := reachable(parseAll(c.addresses), parseAll(c.own)); fmt.Sprint(got) != fmt.Sprint(parseAll(c.want)) {
			t.Errorf("of %s, from %q: %v, want %s", c.addresses, c.own, got, c.want)
		}
	}
}

// TestOwnServices: Postern's own Services are known by the setting and by their label, and by nothing else.
func TestOwnServices(t *testing.T) {
	labelled := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "labelled", Labels: map[string]string{nameLabel: nameOfOurs}}}
	named := ServiceKey{Namespace: "edge", Name: "named"}
	r := newBackendResolver(Input{
		World:    source.World{Services: []source.Service{{Service: &labelled}}},
		Settings: Settings{ExternalNames: ExternalNames{OwnServices: []ServiceKey{named}}},
	}, indexObjects(source.World{}))
	for key, own := range map[ServiceKey]bool{named: true, {Namespace: "edge", Name: "labelled"}: true, {Namespace: "edge", Name: "other"}: false, {Namespace: "shop", Name: "named"}: false} {
		if fault := r.serviceFault(key); (fault != "") != own {
			t.Errorf("%s: %q, want it refused: %v", key, fault, own)
		}
	}
}

// TestExternalNamesWords: the policy is written as it is read.
func TestExternalNamesWords(t *testing.T) {
	for text, want := range map[string]string{
		"off": "off", "": "off", "Cluster": "cluster", "same-namespace,cluster": "cluster", "example.com, same-namespace": "same-namespace,example.com",
	} {
		var entries []string
		if text != "" {
			entries = strings.Split(text, ",")
		}
		if got, err := ParseExternalNames(entries); err != nil || got.String() != want {
			t.Errorf("%q gives %s, %v; want %s", text, got, err, want)
		}
	}
	if got, err := ParseExternalNames([]string{"example.com", "off"}); err == nil {
		t.Errorf("off beside another entry gives %s, want an error", got)
	}
}
