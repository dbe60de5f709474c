package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCertificateOfManyNames: a certificate is found by every name of it, and its page has them all.
func TestCertificateOfManyNames(t *testing.T) {
	const names = 130
	var hosts, rules []string
	for i := range names {
		hosts = append(hosts, fmt.Sprintf("h%d.test", i))
		rules = append(rules, fmt.Sprintf("{host: h%d.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}", i))
	}
	all := strings.Join(hosts, ",")
	v := viewOf(t, fmt.Sprintf(`Many names.

-- settings.yaml --
{}
-- input.yaml --
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {tls: [{hosts: [%s], secretName: cert}, {hosts: ["*.wild.test"], secretName: wild}], rules: [%s, {host: a.wild.test, http: {paths: [{path: /, backend: {service: {name: a, port: {number: 80}}}, pathType: Prefix}]}}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
type: kubernetes.io/tls
data:
  tls.crt: {{cert %s}}
  tls.key: {{key %s}}
---
apiVersion: v1
kind: Secret
metadata: {name: wild}
type: kubernetes.io/tls
data:
  tls.crt: {{cert *.wild.test}}
  tls.key: {{key *.wild.test}}
`, strings.Join(hosts, ", "), strings.Join(rules, ", "), all, all))
	type list struct {
		Certificates []struct {
			ID, Link  string
			Hosts     []nameLink
			HostCount int
		}
	}
	found := dataOf[list](t, v, "/certificates?q=h129.test").Certificates
	if len(found) != 1 || found[0].HostCount != names || len(found[0].Hosts) != certificateHostsMax {
		t.Fatalf("by its last name: %+v", found)
	}
	type page struct {
		Fingerprint, Serial string
		Chain               []struct{ Subject, Fingerprint string }
		Served              []struct {
			Name, Link, Why string
			Origins         []struct{ Kind, Name string }
		}
		Paging paging
	}
	first, second := dataOf[page](t, v, "/"+found[0].Link), dataOf[page](t, v, "/"+found[0].Link+"&page=2")
	if n := len(first.Served) + len(second.Served); n != names || first.Paging.Total != names || first.Paging.Next == "" {
		t.Errorf("%d names are on its pages: %+v", n, first.Paging)
	}
	one := first.Served[0]
	if one.Link == "" || len(one.Origins) != 2 || one.Origins[0].Kind != "Ingress" || one.Origins[1].Kind != "Secret" {
		t.Errorf("the first name is %+v", one)
	}
	if len(first.Fingerprint) != 64 || first.Serial == "" || len(first.Chain) == 0 || first.Chain[0].Fingerprint != first.Fingerprint {
		t.Errorf("%+v", first)
	}
	for text, want := range map[string]string{first.Fingerprint[10:30]: "h0.test", "secret default/cert": "h0.test", "WILD.test": "*.wild.test"} {
		if got := dataOf[list](t, v, link("/certificates", "q", text)).Certificates; len(got) != 1 || got[0].Hosts[0].Name != want {
			t.Errorf("%s finds %+v, want %s", text, got, want)
		}
	}
	wild := dataOf[page](t, v, "/"+dataOf[list](t, v, "/certificates?q=wild").Certificates[0].Link)
	if len(wild.Served) != 2 || wild.Served[0].Link != "" || wild.Served[1].Name != "a.wild.test" || wild.Served[1].Why != "it is under *.wild.test" {
		t.Errorf("under a wildcard: %+v", wild.Served)
	}
}

// TestChainThatEnds: a chain is no better than what of it ends first.
func TestChainThatEnds(t *testing.T) {
	v := shopView(t)
	c := &v.index().certificates[0]
	c.leaf().NotBefore, c.leaf().NotAfter = time.Time{}, testTime.Add(300*24*time.Hour)
	c.chain = append(c.chain[:1:1], &x509.Certificate{
		Subject: pkix.Name{CommonName: "Intermediate"}, Issuer: pkix.Name{CommonName: "Root"}, SerialNumber: big.NewInt(0xabc), NotAfter: testTime.Add(30 * time.Hour),
	})
	row := v.certificateRow(c)
	if row.Health.State != stateDegraded || row.Ends != "in 1 day" || row.EndsOf != "CN=Intermediate" || !slices.Contains(row.Health.Reasons, "in its chain CN=Intermediate: ends in 1 day") {
		t.Errorf("%+v", row)
	}
	text := textOf(siteOf(t, v).page("/" + row.Link))
	for _, words := range []string{"of CN=Intermediate in its chain", "CN=Root", "▲ degraded ends in 1 day", "in 1 day"} {
		if !strings.Contains(text, words) {
			t.Errorf("%q is not on its page: %s", words, text)
		}
	}
	if got := v.certificateRows()[0]; got.ID != row.ID {
		t.Errorf("%s is to end first", got.Subject)
	}
	c.chain[1].NotAfter = testTime.Add(-time.Hour)
	if row := v.certificateRow(c); row.Health.State != stateFailing {
		t.Errorf("a chain of which a part has ended is %+v", row.Health)
	}
	c.chain[1].NotAfter = testTime.Add(400 * 24 * time.Hour)
	if row := v.certificateRow(c); row.Health.State != stateOK || row.EndsOf != "" || row.Ends != "in 300 days" {
		t.Errorf("a chain that is well: %+v", row)
	}
}
