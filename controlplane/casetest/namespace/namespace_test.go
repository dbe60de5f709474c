package namespace

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTest: inside, the addresses asked for can be listened on, and the first process is the test.
func TestTest(t *testing.T) {
	if !Test(t, Network{Local: []string{"192.0.2.0/24"}}) {
		return
	}
	l, err := net.Listen("tcp", "192.0.2.7:80")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if pid := os.Getpid(); pid != 1 {
		t.Errorf("process %d, want 1", pid)
	}
	child := exec.Command("sleep", "infinity")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// It is left: that no process survives the first is up to the kernel. /proc must know it by the number that we have.
	if _, err := os.Stat("/proc/" + strconv.Itoa(child.Process.Pid)); err != nil {
		t.Error(err)
	}
}
