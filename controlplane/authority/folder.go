package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postern-gateway/postern/dataplane/identity"
)

const (
	folderMode fs.FileMode = 0o700
	fileMode   fs.FileMode = 0o600
)

// A File is one of a folder of certificates.
type File struct {
	Name string
	Text []byte
}

// Files are what the folder of one role holds. The key comes first: until its certificate follows, whoever reads both keeps
// the pair before.
func Files(p Pair, authorities []byte) []File {
	return []File{{identity.CAFile, authorities}, {identity.KeyFile, p.Key}, {identity.CertificateFile, p.Certificate}}
}

// ReadCA reads the CA of a folder; nil where there is none.
func ReadCA(dir string) (*CA, error) {
	certificate, err := os.ReadFile(filepath.Join(dir, caCertificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent(filepath.Join(dir, caKeyFile))
	}
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("a CA's certificate without its key: %w", err)
	}
	ca, err := Parse(Pair{Certificate: certificate, Key: key})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return ca, nil
}

// caCertificateFile and caKeyFile are the CA's own files.
const (
	caCertificateFile = "ca.crt"
	caKeyFile         = "ca.key"
)

// absent is an error where there is a file: half of what should be two is not written over.
func absent(file string) error {
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s stands there without its certificate", file), err)
	}
	return nil
}

// WriteCA writes a CA's files into a folder.
func WriteCA(dir string, ca *CA) error {
	return Write(dir, []File{{caKeyFile, ca.Key}, {caCertificateFile, ca.Certificate}})
}

// Write writes files into a folder, which is made where it is missing. Each is put in its place whole, as those who watch
// the folder expect: Envoy looks at what is moved into it and at nothing else.
func Write(dir string, files []File) error {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.Name), f.Text); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, text []byte) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(next, text, fileMode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
