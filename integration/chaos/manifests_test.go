package chaos

import (
	"encoding/base64"
	"fmt"
	"net/netip"
)

// ingress is one that sends all of a host to the Service of its name, with the Secret of its name. metadata is put
// beside its name.
func ingress(name, host, metadata string) string {
	return fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s%[3]s}, spec: {tls: [{hosts: ["%[2]s"], secretName: %[1]s}], rules: [{host: "%[2]s", http: {paths: [
  {path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]}}
---
`, name, host, metadata)
}

// service is one port at one address. metadata is put beside its name.
func service(name, metadata string, at netip.AddrPort) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %[1]s%[2]s}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4, endpoints: [{addresses: [%[3]s]}], ports: [{port: %[4]d}]}
---
`, name, metadata, at.Addr(), at.Port())
}

func secret(name string, p pair) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s}, type: kubernetes.io/tls, data: {tls.crt: %s, tls.key: %s}}\n---\n",
		name, base64.StdEncoding.EncodeToString(p.Certificate), base64.StdEncoding.EncodeToString(p.Key))
}
