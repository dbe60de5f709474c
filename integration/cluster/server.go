package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/integration/cluster/binaries"
)

const (
	// startMax is a hang limit: some 3 s are usual.
	startMax = 3 * time.Minute
	// readyInterval is how often the API server is asked whether it is ready.
	readyInterval = 20 * time.Millisecond
	// loopback is where both listen.
	loopback = "127.0.0.1"
	// auditFile is the log of requests.
	auditFile = "audit.log"
	// lastBytes is how much of what the API server logged is shown.
	lastBytes = 16 << 10
)

// Cluster is a running API server and its etcd.
type Cluster struct {
	// Config is what the administrator connects with.
	Config *rest.Config

	folder    string
	etcd      string // URL
	processes []*process
	// own are the keys in etcd of what the API server made by itself, and of what is kept.
	own map[string]bool
}

// process is one of the two.
type process struct {
	*exec.Cmd
	ended chan struct{} // closed when err is set
	err   error
}

// start starts both, and returns when the API server is ready.
func start(programs binaries.Folder) (_ *Cluster, err error) {
	folder, err := os.MkdirTemp("", "cluster")
	if err != nil {
		return nil, err
	}
	c := &Cluster{folder: folder}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start the API server: %w\n%s", err, c.lastWords()), c.stop())
		}
	}()
	var ports [3]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	token := rand.Text()
	if err := c.writeFiles(token); err != nil {
		return nil, err
	}
	c.etcd = "http://" + net.JoinHostPort(loopback, ports[0])
	if err := c.run(programs.Etcd(), c.etcdArgs(ports[1])...); err != nil {
		return nil, err
	}
	if err := c.run(programs.APIServer(), c.apiServerArgs(ports[2])...); err != nil {
		return nil, err
	}
	c.Config = &rest.Config{
		Host:        "https://" + net.JoinHostPort(loopback, ports[2]),
		BearerToken: token,
		// The certificate that the API server signs itself.
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.path("certificates/apiserver.crt")},
		// Tests are as quick as the server.
		QPS: -1,
	}
	if err := c.awaitReady(); err != nil {
		return nil, err
	}
	if c.Config.CAData, err = os.ReadFile(c.Config.CAFile); err != nil {
		return nil, err
	}
	c.Config.CAFile = ""
	c.own, err = c.keys()
	return c, err
}

func (c *Cluster) path(name string) string { return filepath.Join(c.folder, filepath.FromSlash(name)) }

// auditPolicy has every request logged but the administrator's and the API server's own.
const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
  {"level": "None", "users": ["admin", "system:apiserver", "system:anonymous"]}, {"level": "Metadata"}]}`

// writeFiles writes what the API server reads: the administrator's token, and the key that signs service accounts' tokens.
func (c *Cluster) writeFiles(token string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key) // It reads no PKCS #8 as a public key.
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"tokens.csv":            fmt.Appendf(nil, "%s,admin,admin,system:masters\n", token),
		"service-accounts.key":  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		"audit-policy.yaml":     []byte(auditPolicy),
		auditFile:               nil,
		"etcd.out":              nil,
		"kube-apiserver.out":    nil,
		"certificates/.created": nil,
	} {
		if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(c.path(name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) etcdArgs(peerPort string) []string {
	peers := "http://" + net.JoinHostPort(loopback, peerPort)
	return []string{
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + c.etcd, "--advertise-client-urls=" + c.etcd, "--listen-peer-urls=" + peers,
		"--initial-advertise-peer-urls=" + peers, "--initial-cluster=default=" + peers,
		"--unsafe-no-fsync", "--log-level=error", // What is in it need not survive the machine.
	}
}

func (c *Cluster) apiServerArgs(port string) []string {
	return []string{
		"--etcd-servers=" + c.etcd, "--bind-address=" + loopback, "--secure-port=" + port,
		// Without a default route it finds no address by itself; and it takes none of the loopback for its own Service.
		"--advertise-address=" + loopback, "--endpoint-reconciler-type=none",
		"--cert-dir=" + c.path("certificates"), "--token-auth-file=" + c.path("tokens.csv"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-accounts.key"),
		"--service-account-signing-key-file=" + c.path("service-accounts.key"),
		"--authorization-mode=RBAC", "--service-cluster-ip-range=" + Services, "--allow-privileged=true",
		// Without its controller no namespace gets a default service account, and no Pod could be created.
		"--disable-admission-plugins=ServiceAccount",
		"--audit-policy-file=" + c.path("audit-policy.yaml"), "--audit-log-path=" + c.path(auditFile), "--audit-log-mode=blocking",
	}
}

func (c *Cluster) run(program string, args ...string) error {
	out, err := os.OpenFile(c.path(filepath.Base(program)+".out"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	p := &process{Cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.Stdout, p.Stderr = out, out
	p.SysProcAttr = dyingWithParent()
	if err := p.Start(); err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	go func() {
		defer close(p.ended)
		p.err = p.Wait()
	}()
	return nil
}

// awaitReady waits for what /readyz says.
func (c *Cluster) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	// Its certificate may not be there yet; what is asked is no secret.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		err := ask(ctx, transport, c.Config.Host+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is not ready within %s: %w", startMax, err)
		case <-c.processes[0].ended:
			return fmt.Errorf("etcd ended: %w", c.processes[0].err)
		case <-c.processes[1].ended:
			return fmt.Errorf("it ended: %w", c.processes[1].err)
		case <-ticker.C:
		}
	}
}

func ask(ctx context.Context, transport http.RoundTripper, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// stop ends both, at once: what they know is of no use any more.
func (c *Cluster) stop() error {
	for _, p := range c.processes {
		_ = p.Process.Kill() // It may have ended by itself.
		<-p.ended
	}
	return os.RemoveAll(c.folder)
}

// lastWords are the end of what both said.
func (c *Cluster) lastWords() string {
	var all strings.Builder
	for _, name := range []string{"etcd.out", "kube-apiserver.out"} {
		text, err := os.ReadFile(c.path(name))
		if err != nil {
			continue
		}
		all.Write(text[max(0, len(text)-lastBytes):])
	}
	return all.String()
}

// freePort is a port of the loopback that nobody listens at. In the tests' own network nobody else takes it either.
func freePort() (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
