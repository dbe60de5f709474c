package pods

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/integration/processes"
)

// TestReadOnlyRoot: both data planes become ready and answer as a user without rights, where nothing can be written to but
// --folder.
func TestReadOnlyRoot(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, plane string) {
		needUsers(t)
		l := newLab(t)
		s := l.newSite()
		control := l.replica(1)
		control.start()
		j := l.jail()
		d := &dataPlane{lab: l, plane: plane, folder: j.Writable}
		j.Command = append(j.Command, l.dataArguments(plane, j.Writable, control.xds)...)
		text, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("/proc/self/exe")
		command.Env = append(os.Environ(), jailVariable+"="+string(text))
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		d.Process = processes.Start(t, "postern-dataplane in its jail", command)
		d.awaitReady()
		s.answers(t)
		control.awaitSettled(plane)
		processes := family(t, d.Command.Process.Pid)
		if want := map[string]int{planeGo: 1, planeEnvoy: 2}[plane]; len(processes) != want {
			t.Errorf("%d processes, want %d", len(processes), want)
		}
		for _, pid := range processes {
			for _, fault := range rights(t, pid) {
				t.Errorf("process %d: %s", pid, fault)
			}
			for _, fault := range writable(t, pid, j.Writable) {
				t.Errorf("process %d: %s", pid, fault)
			}
		}
		d.Signal(syscall.SIGTERM)
		if err := d.AwaitEnd(); err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
}

// needUsers skips a test where no other user can be had; in CI it fails.
func needUsers(t *testing.T) {
	t.Helper()
	const fault = "only root becomes another user"
	if os.Getuid() == 0 && !oneUser(t) {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(fault)
	}
	t.Skip(fault)
}

// oneUser is true in a user namespace that has no other.
func oneUser(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text)) // Inside, outside, how many.
	n, err := strconv.Atoi(fields[len(fields)-1])
	return err == nil && n <= jailUser
}

// jail prepares one; its command has no arguments yet. All that is in it can be read by its user.
func (l *lab) jail() jail {
	l.t.Helper()
	j := jail{
		Root: filepath.Join(l.folder, "root"), Writable: filepath.Join(l.folder, "memory"), Programs: map[string]string{},
		Env: []string{"PATH=/usr/bin", "POD_NAME=jailed", "POD_NAMESPACE=" + systemNamespace},
	}
	for _, folder := range []string{j.Root, j.Writable} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	programs := map[string]string{"postern": os.Getenv(processes.Postern), planeEnvoy: live.NeedEnvoy(l.t)}
	j.Env = append(j.Env, "ENVOY="+filepath.Join(l.folder, planeEnvoy))
	for name, from := range programs {
		from, err := filepath.EvalSymlinks(from)
		if err != nil {
			l.t.Fatal(err)
		}
		to := filepath.Join(l.folder, name)
		if err := os.WriteFile(to, nil, 0o755); err != nil {
			l.t.Fatal(err)
		}
		j.Programs[from] = to
	}
	j.Command = []string{filepath.Join(l.folder, "postern")}
	// As a Secret's volume with fsGroup.
	files, err := filepath.Glob(filepath.Join(l.trust.dataPlane, "*"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, file := range append(files, l.trust.dataPlane) {
		if err := os.Chown(file, 0, jailUser); err != nil {
			l.t.Fatal(err)
		}
		mode := os.FileMode(0o440)
		if file == l.trust.dataPlane {
			mode = 0o750
		}
		if err := os.Chmod(file, mode); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := os.Chmod(l.folder, 0o755); err != nil {
		l.t.Fatal(err)
	}
	return j
}

// family is a process and its children.
func family(t *testing.T, pid int) []int {
	t.Helper()
	out := []int{pid}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // The thread is gone.
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, child)
		}
	}
	return out
}

// rights are those that a process has and should not.
func rights(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	user, none := strings.TrimSuffix(strings.Repeat(strconv.Itoa(jailUser)+"\t", 4), "\t"), strings.Repeat("0", 16)
	want := map[string]string{
		"Uid": user, "Gid": user, "Groups": strconv.Itoa(jailUser), "NoNewPrivs": "1",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if wanted, ok := want[name]; ok && value != wanted {
			out = append(out, fmt.Sprintf("%s is %s, want %s", name, value, wanted))
		}
		delete(want, name)
	}
	if len(want) > 0 {
		out = append(out, fmt.Sprintf("nothing is said of %v", want))
	}
	return out
}

// writable are the mounts that a process sees and could write to, but for its folder, and whether it sees that.
func writable(t *testing.T, pid int, folder string) []string {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out []string
	seen, all := false, 0
	for lines := bufio.NewScanner(file); lines.Scan(); all++ {
		fields := strings.Fields(lines.Text()) // proc(5): the fifth is the place, the sixth the options of the mount.
		place, mode, _ := strings.Cut(fields[4]+" "+fields[5], " ")
		if place == folder {
			seen = true
		} else if !strings.HasPrefix(mode, "ro") {
			out = append(out, "it may write to "+place)
		}
	}
	if !seen || all < 2 {
		out = append(out, fmt.Sprintf("%d mounts, its folder among them: %t", all, seen))
	}
	return out
}
