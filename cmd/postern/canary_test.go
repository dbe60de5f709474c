package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/postern-gateway/postern/controlplane/casetest/canary"
	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/controlplane/logging"
	"github.com/postern-gateway/postern/controlplane/metrics"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane"
)

// canariesMin is how many secrets are planted at least.
const canariesMin = 50

// planted are the secrets of a folder of manifests, and of the flags.
type planted struct {
	t *testing.T
	*canary.Set
	// keys are the names of those that a bootstrap holds, annotated of those that stand in annotations.
	keys, annotated []string
	// edited are the manifests with other secrets in annotations, and other users.
	manifests, edited, certDir, inspectDir, authority, users, token string
	password, bearer                                                string
}

func secretObject(name, kind string, data map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: %s\ndata:\n", name, kind)
	for key, value := range data {
		fmt.Fprintf(&b, "  %s: %s\n", key, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	return b.String()
}

// plantAll writes manifests with secrets of every kind.
func plantAll(t *testing.T, backend string) planted {
	t.Helper()
	dir := t.TempDir()
	p := planted{t: t, Set: canary.New(t)}
	var b strings.Builder
	ingress := func(name string, annotations map[string]string, tls string) {
		fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  annotations:\n    postern.dev/description: x\n", name)
		for key, value := range annotations {
			fmt.Fprintf(&b, "    %s: %q\n", key, value)
		}
		b.WriteString("spec:\n")
		if tls != "" {
			fmt.Fprintf(&b, "  tls: [{hosts: [%s.test], secretName: %s}]\n", name, tls)
		}
		fmt.Fprintf(&b, "  rules: [{host: %s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 443}}}}]}}]\n", name)
	}
	for i := range 14 { // Certificates of hosts; with every second the key is in tls.crt too.
		name := fmt.Sprintf("host-%d", i)
		chain, key := p.Pair("key of "+name, name+".test")
		p.keys = append(p.keys, "key of "+name)
		if i%2 == 0 {
			chain = key + chain
		}
		b.WriteString(secretObject(name, "kubernetes.io/tls", map[string]string{"tls.crt": chain, "tls.key": key}))
		ingress(name, nil, name)
	}
	for i := range 6 { // Client certificates for backends.
		name := fmt.Sprintf("client-%d", i)
		chain, key := p.Pair("key of "+name, name)
		p.keys = append(p.keys, "key of "+name)
		b.WriteString(secretObject(name, "kubernetes.io/tls", map[string]string{"tls.crt": chain + key, "tls.key": key}))
		ingress(name, map[string]string{"postern.dev/backend-protocol": "https", "postern.dev/upstream-client-secret": name}, "")
	}
	for i := range 12 { // Users.
		name := fmt.Sprintf("users-%d", i)
		hash, err := bcrypt.GenerateFromPassword([]byte(p.Random("password of "+name)), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		user := p.Random("user of " + name)
		kind, line := "basic", user+":"+p.Plant("hash of "+name, string(hash))
		if i%3 == 0 {
			kind, line = "digest", user+":traefik:"+p.Plant("digest of "+name, strings.Repeat(fmt.Sprintf("%x", 0xabcd+i), 8))
		}
		b.WriteString(secretObject(name, "Opaque", map[string]string{"auth": line + "\nbroken-line-" + p.Random("broken line of "+name) + "\n"}))
		ingress(name, map[string]string{"ingress.kubernetes.io/auth-type": kind, "ingress.kubernetes.io/auth-secret": name}, "")
	}
	for i := range 4 { // What cannot be used, and is told of.
		name := fmt.Sprintf("broken-%d", i)
		data := map[string]string{"tls.crt": "-----BEGIN CERTIFICATE-----\n" + p.Random("chain of "+name), "tls.key": p.Random("key of " + name)}
		b.WriteString(secretObject(name, "kubernetes.io/tls", data))
		ingress(name, map[string]string{"postern.dev/backend-protocol": "https", "postern.dev/upstream-client-secret": name, "postern.dev/upstream-ca-secret": name}, name)
	}
	for i := range 4 { // What nothing refers to.
		name := fmt.Sprintf("other-%d", i)
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{\"data\": \"%s\"}'}\nstringData: {password: %s}\n",
			name, p.Random("annotation of "+name), p.Random("password of "+name))
	}
	fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 443}]}}\n---\n"+
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{port: %s}], endpoints: [{addresses: [127.0.0.1]}]}\n", backend)
	put := func(path, text string) string {
		t.Helper()
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return full
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(p.Random("password of changing users")), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	p.manifests = filepath.Dir(put("manifests/all.yaml", b.String()+p.plantAnnotations("first", hash)))
	p.edited = filepath.Dir(put("edited/all.yaml", b.String()+p.plantAnnotations("second", hash)))
	chain, key := p.Pair("key of --tls-cert-dir")
	p.keys = append(p.keys, "key of --tls-cert-dir")
	put("cert/tls.crt", chain+key)
	p.certDir = filepath.Dir(put("cert/tls.key", key))
	chain, key = p.Pair("key of --inspect-cert-dir")
	put("inspect/tls.crt", chain+key)
	p.inspectDir = filepath.Dir(put("inspect/tls.key", key))
	chain, key = p.Pair("key in --upstream-ca")
	p.authority = put("ca.pem", key+chain)
	p.password, p.bearer = p.Random("password of --inspect-users"), p.Random("token")
	if hash, err = bcrypt.GenerateFromPassword([]byte(p.password), bcrypt.MinCost); err != nil {
		t.Fatal(err)
	}
	p.users = put("users", "kxadmin:"+p.Plant("hash of --inspect-users", string(hash))+"\n")
	p.token = put("token", p.bearer+"\n")
	if len(p.Texts) < canariesMin {
		t.Fatalf("%d secrets are planted", len(p.Texts))
	}
	return p
}

func (p planted) flags() []string {
	return []string{"-f", p.manifests, "--tls-cert-dir", p.certDir, "--upstream-ca", p.authority}
}

// TestCanariesAreFound: the search finds each secret in each form, and the keys in the one output that holds them.
func TestCanariesAreFound(t *testing.T) {
	p := plantAll(t, "1")
	for name, texts := range p.Texts {
		for _, text := range texts {
			for _, form := range []string{
				text, "x" + base64.StdEncoding.EncodeToString([]byte("ab"+text+"yz")), base64.StdEncoding.EncodeToString([]byte("a" + text)),
				base64.URLEncoding.EncodeToString([]byte(text + "b")), hex.EncodeToString([]byte(text)), url.QueryEscape("a " + text), fmt.Sprintf("%q", text),
			} {
				if len(p.Leaked("before "+form+" behind")) == 0 {
					t.Errorf("%s is not found in %s", name, form)
				}
			}
		}
	}
	out, _, err := run(t, "", append([]string{"translate", "-o", "bootstrap"}, p.flags()...)...)
	if err != nil {
		t.Fatal(err)
	}
	found := strings.Join(p.Leaked(out), "\n")
	for _, key := range append(p.served(), p.keys...) {
		if !strings.Contains(found, key) {
			t.Errorf("the bootstrap holds the %s, which is not found", key)
		}
	}
}

// served are the secrets of the first edition's annotations that Envoy gets.
func (p planted) served() []string {
	return slices.DeleteFunc(slices.Clone(p.annotated), func(name string) bool {
		return strings.Contains(name, "refused") || strings.Contains(name, "second")
	})
}

// printsNothingServed are the commands that TestCanariesInCommands leaves out, and why.
var printsNothingServed = map[string]string{
	"up": "TestCanariesInALiveServer", "controlplane": "TestCanaries in integration/incluster", "dataplane": "TestCanariesInLogs",
	"certs": "it makes keys, and prints them where it is told to", "version": "it reads nothing", "completion": "it reads nothing",
}

// TestCanariesInCommands: no command but the one for bootstraps prints a secret. What Envoy gets, annotations' values
// included, is printed by translate on purpose: whoever has the manifests to give it has those.
func TestCanariesInCommands(t *testing.T) {
	p := plantAll(t, "1")
	commands := [][]string{
		{"translate", "-o", "yaml"}, {"translate", "-o", "json"}, {"lint"}, {"lint", "-o", "json"}, {"lint", "--report"}, {"lint", "--report", "-o", "json"},
		{"lint", "--report", "-o", "html"}, {"snapshot"}, {"snapshot", "-o", "json"}, {"snapshot", "-o", "yaml"},
		{"snapshot", "routes", "http"}, {"snapshot", "routes", "http", "-o", "json"}, {"snapshot", "routes", "https", "-o", "yaml"},
	}
	for _, k := range inspect.Kinds() {
		commands = append(commands, []string{"snapshot", k.Name}, []string{"snapshot", k.Name, "-o", "json"})
	}
	for _, name := range []string{"host-0.test", "host-1.test", "client/default/client-0", "users/basic/default/users-1", "trust/upstream", "default", "nothing"} {
		commands = append(commands, []string{"snapshot", "sds", name}, []string{"snapshot", "sds", name, "-o", "yaml"})
	}
	for _, host := range []string{"host-0", "client-0", "users-0", "users-1", "broken-0"} {
		for _, format := range []string{"text", "json"} {
			commands = append(commands, []string{"explain", "https://" + host + ".test/", "-o", format},
				[]string{"explain", "https://" + host + ".test/", "-o", format, "-H", "Authorization: Basic a3h1c2VyMTp3cm9uZw=="})
		}
	}
	for _, host := range append([]string{"refused"}, annotatedHosts...) {
		for _, format := range []string{"text", "json"} {
			for _, more := range [][]string{{}, {"--follow"}, {"-H", "X-Forwarded-Proto: x", "--logged-in", "nobody"}} {
				commands = append(commands, append([]string{"explain", "http://" + host + ".test/", "-o", format}, more...))
			}
		}
	}
	asked := map[string]bool{diffName: true}
	for _, args := range commands {
		asked[args[0]] = true
		out, errs, err := run(t, "", append(args, p.flags()...)...)
		if out == "" && err == nil {
			t.Errorf("%v prints nothing", args)
		}
		set := p.Set
		if args[0] == "translate" {
			set = p.Without(p.served()...)
		}
		set.Check(strings.Join(args, " "), fmt.Sprint(out, errs, err))
	}
	for _, c := range command().Commands() {
		if why := printsNothingServed[c.Name()]; !asked[c.Name()] && why == "" {
			t.Errorf("%s is not asked, and nobody says why", c.Name())
		}
	}
	p.checkDiffs()
	in := p.translation()
	snapshot, err := controller.Snapshot(nil, in.result)
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New(metrics.Config{Server: xds.New(xds.Options{})})
	m.Published(controller.Publication{Revision: 1, Snapshot: snapshot, World: in.world, Result: in.result})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "postern_") {
		t.Errorf("metrics: %d", w.Code)
	}
	p.Check("metrics", w.Body.String())
}

// TestCanariesInLogs: a server and a data plane that tell all they can show no secret.
func TestCanariesInLogs(t *testing.T) {
	p := plantAll(t, freePort(t))
	var log transcript.Text
	logger, err := (&logging.Config{Level: "debug", Format: "json"}).New(&log)
	if err != nil {
		t.Fatal(err)
	}
	logging.Bridge(logger)
	in := p.translation()
	snapshot, err := controller.Snapshot(nil, in.result)
	if err != nil {
		t.Fatal(err)
	}
	server := xds.New(xds.Options{Log: logger})
	server.Publish(snapshot)
	socket := filepath.Join(t.TempDir(), "x", "xds.sock")
	listener, err := xds.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	ready := make(chan struct{})
	done.Go(func() { _ = server.Serve(ctx, listener) })
	done.Go(func() {
		_ = dataplane.Run(ctx, dataplane.Options{Target: "unix://" + socket, NodeID: "canary", Cluster: "canary", Log: logger, Ready: func() { close(ready) }})
	})
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatalf("the data plane is not ready: %s", log.String())
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for _, host := range []string{"client-0.test", "users-1.test", "broken-0.test"} {
		r, err := http.NewRequest("GET", "https://"+in.result.Gateway.Tables[0].Entry.Address.String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.SetBasicAuth(p.Texts["user of users-1"][0], p.Texts["password of users-1"][0])
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	cancel()
	done.Wait()
	if log.String() == "" {
		t.Error("nothing is logged")
	}
	p.Check("the log", log.String())
}

// freePort is one that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
