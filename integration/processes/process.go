package processes

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wordsBytes is how much of the end of what a process says is kept.
const wordsBytes = 16 << 10

// Process is a run of a program. The test's end ends it.
type Process struct {
	Command *exec.Cmd

	t     testing.TB
	name  string
	ended chan struct{}
	err   error // set before ended is closed

	mu   sync.Mutex
	said []byte // guarded by mu
}

// Start starts a command, which a failed test calls by a name. Its Stdout, where it has one, is told all that it says.
func Start(t testing.TB, name string, command *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Command: command, t: t, name: name, ended: make(chan struct{})}
	all := command.Stdout
	out, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	err = command.Start()
	_ = write.Close()
	if err != nil {
		_ = out.Close()
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.listen(out, all)
		p.err = command.Wait()
		_ = out.Close()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the last words of %s:\n%s", name, p.Words())
		}
	})
	return p
}

func (p *Process) listen(out io.Reader, all io.Writer) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes('\n')
		if all != nil {
			_, _ = all.Write(line) // A test that cannot keep it fails by what it looks for.
		}
		p.mu.Lock()
		p.said = append(p.said, line...)
		p.said = p.said[max(0, len(p.said)-wordsBytes):]
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Words are the end of what it has said.
func (p *Process) Words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.said)
}

// Kill ends it by SIGKILL, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.Command.Process.Kill() // It may be gone already.
	<-p.ended
}

// Signal does not wait for what comes of it.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// AwaitEnd waits until it has ended by itself, and gives its error.
func (p *Process) AwaitEnd() error {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(WaitMax):
		p.t.Fatalf("%s does not end", p.name)
		return nil
	}
}

// Await waits for what a running process shall come to.
func (p *Process) Await(what string, try func() error) {
	p.t.Helper()
	Eventually(p.t, p.name+": "+what, func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("%s has ended: %v", p.name, p.err)
		default:
		}
		return try()
	})
}
