package up

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/options"
)

// TestUpstreamTLSUnderLoad: what is shown to a backend and what it is verified by changes, in its Secret and by other
// annotations, and no request fails.
func TestUpstreamTLSUnderLoad(t *testing.T) {
	served := casetest.Backend{Names: []string{"a.default.svc"}, SignedBy: casetest.SignedByCA}.Pair()
	certificate, err := tls.X509KeyPair(served.Certificate, served.Key)
	if err != nil {
		t.Fatal(err)
	}
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		// Every request shakes hands, and is answered with the name of the client certificate.
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject.CommonName)
		}))
		s.Config.SetKeepAlivesEnabled(false)
		s.TLS = &tls.Config{
			Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: casetest.ClientCAs(),
		}
		s.StartTLS()
		t.Cleanup(s.Close)
		manifest := func(annotations, client string) string {
			pair := casetest.NewPair(client, casetest.SignedByCA)
			text := strings.Replace(ingress("a", "a.test", "/", "a", s.Listener.Addr().String()), "{port: 80}", "{port: 80, appProtocol: https}", 1)
			text = strings.Replace(text, "kind: Service, metadata: {name: a", "kind: Service, metadata: {name: a, annotations: {postern.dev/upstream-client-secret: client, "+annotations+"}", 1)
			return text + fmt.Sprintf("---\n{apiVersion: v1, kind: Secret, metadata: {name: client}, data: {tls.crt: %s, tls.key: %s, ca.crt: %s}}\n",
				base64.StdEncoding.EncodeToString(pair.Certificate), base64.StdEncoding.EncodeToString(pair.Key),
				base64.StdEncoding.EncodeToString(casetest.AuthorityPEM(casetest.SignedByCA))) +
				fmt.Sprintf("---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: ca}, data: {ca.crt: %q}}\n", casetest.AuthorityPEM(casetest.SignedByCA))
		}
		const bySecret, byConfigMap = "postern.dev/upstream-ca-secret: client", "postern.dev/upstream-ca-configmap: ca"
		g := newGateway(t, map[string]string{"a.yaml": manifest(bySecret, "one.test")})
		g.start(dataPlane, nil)
		c := client(t)
		g.want(c, "a.test", "/", 200, "one.test")
		end := g.underLoad("a.test")
		for i, annotations := range []string{
			bySecret, byConfigMap, byConfigMap + `, postern.dev/upstream-tls-min-version: "1.3"`, bySecret + ", postern.dev/upstream-tls-name: a.default.svc", bySecret,
		} {
			name := fmt.Sprintf("client-%d.test", i)
			g.write("a.yaml", manifest(annotations, name))
			g.waitLive()
			g.eventually(c, "a.test", "/", name)
		}
		t.Logf("%d requests during the edits", end())
	})
}

// TestBackendDemandsClientCertificate: the operator reads what the backend wants.
func TestBackendDemandsClientCertificate(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		text := strings.Replace(ingress("a", "a.test", "/", "a", s.Listener.Addr().String()), "{port: 80}", "{port: 80, appProtocol: https}", 1)
		g := newGateway(t, map[string]string{"a.yaml": text})
		g.start(dataPlane, func(o *options.Options) { o.SkipVerify = true })
		g.want(client(t), "a.test", "/", http.StatusServiceUnavailable, "503\n")
		for deadline := time.Now().Add(waitMax); !strings.Contains(g.err.String(), "upstream-client-secret"); {
			if time.Now().After(deadline) {
				t.Fatalf("the operator does not read what the backend wants:\n%s", g.err)
			}
		}
	})
}
