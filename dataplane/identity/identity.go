// Package identity is the certificate, the key and the CAs by which control plane and data planes know each other, as the
// files of a folder are now.
package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// CertificateFile, KeyFile and CAFile are the files of a folder, named as cert-manager names a Secret's keys.
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
	CAFile          = "ca.crt"
	// ControlPlaneName and DataPlaneName are the DNS names that certificates of the two roles have. They are names of roles,
	// and need not resolve. The control plane serves none but certificates with DataPlaneName; by which name a data plane
	// knows its control plane is a flag.
	ControlPlaneName = "postern-controlplane"
	DataPlaneName    = "postern-dataplane"

	// fileBytesMax bounds each file.
	fileBytesMax = 1 << 20
	// watchInterval is how often Watch looks whether the files can be used. Handshakes do not wait for it.
	watchInterval = 10 * time.Second
	// expiryShare is the last part of a certificate's life in which Watch warns that it has not been renewed.
	expiryShare = 10
)

// A Folder holds what the files said when they last made sense together. It reads them again at every handshake, which are
// rare, so that there is no moment at which an old certificate is shown.
type Folder struct {
	dir  string
	role Role
	log  *slog.Logger

	mu      sync.Mutex
	read    contents  // as last read, usable or not; guarded by mu
	fault   error     // of what was last read; guarded by mu
	current *material // guarded by mu
}

// contents are the bytes of the three files.
type contents struct{ certificate, key, authorities []byte }

func (c contents) equal(other contents) bool {
	return bytes.Equal(c.certificate, other.certificate) && bytes.Equal(c.key, other.key) && bytes.Equal(c.authorities, other.authorities)
}

// material is what contents mean. It is immutable.
type material struct {
	pair        tls.Certificate
	authorities *x509.CertPool
}

// Open reads the folder of a role, which must have a pair of that role and CAs that can be used.
func Open(dir string, role Role, log *slog.Logger) (*Folder, error) {
	f := &Folder{dir: dir, role: role, log: log}
	if m, err := f.load(); m == nil {
		return nil, err
	}
	return f, nil
}

// Dir is the folder's path.
func (f *Folder) Dir() string { return f.dir }

// NotAfter is when the certificate that is shown now expires.
func (f *Folder) NotAfter() time.Time { return f.now().pair.Leaf.NotAfter }

// now is what the files say, or what they last said that made sense.
func (f *Folder) now() *material {
	m, _ := f.load()
	return m
}

// load gives what can be used, and what is wrong with the files as they are now.
func (f *Folder) load() (*material, error) {
	read, err := readAll(f.dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.read, f.fault = contents{}, err
		return f.current, err
	}
	if f.read.equal(read) {
		return f.current, f.fault
	}
	m, err := parse(read)
	if err == nil {
		err = f.role.check(m.pair.Leaf)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", f.dir, err)
	} else {
		f.current = m
	}
	f.read, f.fault = read, err
	return f.current, err
}

// Watch tells the log, until ctx ends, of files that cannot be used and of a certificate that nobody renews. A fault is told
// when it is seen twice: the files are written one after the other.
func (f *Folder) Watch(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var w watcher
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			w.look(f, now)
		}
	}
}

// watcher remembers what has been told.
type watcher struct {
	seen, told string
	warned     *material
}

func (w *watcher) look(f *Folder, now time.Time) {
	m, err := f.load()
	words := ""
	if err != nil {
		words = err.Error()
	}
	if words != "" && words == w.seen && words != w.told {
		f.log.Error("these certificates cannot be used; this process goes on with those before", "reason", words)
		w.told = words
	}
	if w.seen = words; words == "" {
		w.told = ""
	}
	leaf := m.pair.Leaf
	if left := leaf.NotAfter.Sub(now); left < leaf.NotAfter.Sub(leaf.NotBefore)/expiryShare && w.warned != m {
		w.warned = m
		f.log.Warn("the certificate between control plane and data planes is not renewed; after its end no connection is made anew",
			"folder", f.dir, "expires", leaf.NotAfter)
	}
}

func readAll(dir string) (contents, error) {
	var c contents
	for _, file := range []struct {
		name string
		to   *[]byte
	}{{CertificateFile, &c.certificate}, {KeyFile, &c.key}, {CAFile, &c.authorities}} {
		text, err := readFile(filepath.Join(dir, file.name))
		if err != nil {
			return contents{}, err
		}
		*file.to = text
	}
	return c, nil
}

func readFile(path string) (text []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	text, err = io.ReadAll(io.LimitReader(file, fileBytesMax+1))
	if err == nil && len(text) > fileBytesMax {
		err = fmt.Errorf("%s has more than %d bytes", path, fileBytesMax)
	}
	return text, err
}

func parse(c contents) (*material, error) {
	pair, err := tls.X509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", CertificateFile, KeyFile, err)
	}
	pool, err := parseAuthorities(c.authorities)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CAFile, err)
	}
	return &material{pair: pair, authorities: pool}, nil
}

// parseAuthorities takes every certificate of a bundle, or none: AppendCertsFromPEM would leave out what it cannot read.
func parseAuthorities(text []byte) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s; only certificates belong there", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(c)
		found = true
	}
	if !found {
		return nil, errors.New("it holds no certificate")
	}
	if len(bytes.TrimSpace(text)) > 0 {
		return nil, errors.New("what follows its last certificate cannot be read")
	}
	return pool, nil
}
