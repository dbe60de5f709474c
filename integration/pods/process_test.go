package pods

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wordsBytes is how much of the end of what a process says is kept.
const wordsBytes = 16 << 10

// process is a run of the binary. The test's end ends it.
type process struct {
	t       *testing.T
	name    string
	command *exec.Cmd
	ended   chan struct{}
	err     error // set before ended is closed

	mu   sync.Mutex
	said []byte // guarded by mu
}

// run starts a command.
func run(t *testing.T, name string, command *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, command: command, ended: make(chan struct{})}
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
		p.listen(out)
		p.err = command.Wait()
		_ = out.Close()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the last words of %s:\n%s", name, p.words())
		}
	})
	return p
}

func (p *process) listen(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes('\n')
		p.mu.Lock()
		p.said = append(p.said, line...)
		p.said = p.said[max(0, len(p.said)-wordsBytes):]
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *process) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.said)
}

// kill ends it by SIGKILL, and returns when it is gone.
func (p *process) kill() {
	_ = p.command.Process.Kill() // It may be gone already.
	<-p.ended
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// awaitEnd waits until it has ended by itself, and gives its error.
func (p *process) awaitEnd() error {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(waitMax):
		p.t.Fatalf("%s does not end", p.name)
		return nil
	}
}

// await waits for what a running process shall come to.
func (p *process) await(what string, try func() error) {
	p.t.Helper()
	eventually(p.t, p.name+": "+what, func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("%s has ended: %v", p.name, p.err)
		default:
		}
		return try()
	})
}

// ask gives the body of an answer 200.
func ask(url string) (body string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: waitMax}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", response.Status, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// ready says whether a process answers so to its probe.
func ready(health string) error {
	_, err := ask("http://" + health + "/readyz")
	return err
}

// scrape gives the series of /metrics, by name with labels.
func scrape(address string) (map[string]string, error) {
	text, err := ask("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			out[line[:at]] = line[at+1:]
		}
	}
	return out, nil
}
