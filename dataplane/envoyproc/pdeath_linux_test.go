package envoyproc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// parentVariable makes a test binary the parent that is killed.
const parentVariable = "POSTERN_TEST_PARENT"

func TestEnvoyDiesWithItsParent(t *testing.T) {
	if folder := os.Getenv(parentVariable); folder != "" {
		p := &process{config: Config{Folder: folder}, log: slog.New(slog.DiscardHandler), stopWait: stopWaitMax}
		p.stderr = &stderrLog{log: p.log}
		// The script holds the pipe open as long as it lives.
		path := program(t, fmt.Sprintf("exec 3>%s/alive; echo started >&3; while :; do /bin/sleep 1 3>&-; done", folder))
		t.Fatal(p.run(context.Background(), path, nil))
	}
	folder := shortFolder(t)
	fifo := filepath.Join(folder, "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestEnvoyDiesWithItsParent$")
	parent.Env = append(os.Environ(), parentVariable+"="+folder)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	alive, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	if _, err := io.ReadFull(alive, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // It was killed.
	dead := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(alive)
		dead <- err
	}()
	select {
	case err := <-dead:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the child outlives its parent")
	}
}
