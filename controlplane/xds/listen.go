package xds

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

const (
	// folderMode and socketMode keep other users out: what is served holds private keys.
	folderMode fs.FileMode = 0o700
	socketMode fs.FileMode = 0o600
)

// socketPathMax is the longest path of a unix socket in bytes: sun_path, less the zero at its end.
func socketPathMax() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// ListenUnix listens on a unix socket. The socket's folder is made, mode 0700, if it does not exist; one that others
// may enter is refused. A socket left by a process that is gone is replaced. Closing the listener removes the socket.
func ListenUnix(path string) (net.Listener, error) {
	if limit := socketPathMax(); len(path) > limit {
		return nil, fmt.Errorf("listen on %s: the path of a socket may have %d bytes and this one has %d: choose a shorter folder", path, limit, len(path))
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if info.Mode().Perm()&^folderMode != 0 {
		return nil, fmt.Errorf("listen on %s: others may enter the folder (mode %#o): give the socket a folder of its own, or chmod 700 it", path, info.Mode().Perm())
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	lis, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), lis.Close())
	}
	return lis, nil
}

// removeStale removes a socket on which nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return errors.New("a file that is no socket stands there")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(errors.New("another process listens there"), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
