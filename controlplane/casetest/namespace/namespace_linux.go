package namespace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Test runs the test that calls it again, in a process with a network of its own, where it returns true. Where no such
// network can be made the test is skipped; in CI it fails.
func Test(t *testing.T, n Network) bool {
	t.Helper()
	if Inside() {
		if fault := os.Getenv(faultVariable); fault != "" {
			t.Skip(fault)
		}
		if err := n.make(); err != nil {
			t.Skip(err)
		}
		return true
	}
	var out strings.Builder
	c := command(t.Context(), "-test.v", "-test.run", "^"+t.Name()+"$")
	c.Stdout, c.Stderr = &out, &out
	err := runOnThread(c)
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		need(t, noNamespace(err))
	}
	if strings.Contains(out.String(), "--- SKIP: "+t.Name()+" (") {
		need(t, out.String())
	}
	t.Logf("%s", out.String())
	if err != nil {
		t.Error(err)
	}
	return false
}

// Main is the life of a test binary whose tests all run in one network of their own: it runs the binary again, and there
// calls run. It gives the status to exit with. Where no such network can be made, run is called as things are, and the tests
// that call Need are skipped; in CI they fail.
func Main(n Network, run func() int) int {
	if Inside() {
		if err := n.make(); err != nil {
			_ = os.Setenv(faultVariable, err.Error())
		}
		return run()
	}
	c := command(context.Background(), os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := runOnThread(c)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended):
		return max(1, ended.ExitCode())
	default:
		_ = os.Setenv(faultVariable, noNamespace(err))
		return run()
	}
}

func noNamespace(err error) string {
	return fmt.Sprintf("this system lets us make no network namespace: %v", err)
}

// command runs this binary in namespaces of its own. That of processes has it that whatever it leaves ends with it.
func command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/proc/self/exe", args...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), insideVariable+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return c
}

// runOnThread runs a command on a thread of its own: it dies with the thread that started it (PR_SET_PDEATHSIG), which must
// therefore not end before.
func runOnThread(c *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return c.Run()
}

// make brings the network up, and /proc in step with the processes.
func (n Network) make() error {
	// What is mounted here is nobody else's business.
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		return err
	}
	for _, prefix := range n.Local {
		if err := ip("route", "add", "local", prefix, "dev", "lo"); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
