package pods

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/integration/processes"
)

// TestReadOnlyRoot: the control plane and both data planes become ready and do their work as a user without rights, where
// nothing can be written to but --folder, and the control plane's /tmp.
func TestReadOnlyRoot(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, plane string) {
		needUsers(t)
		l := newLab(t)
		s := l.newSite()
		if err := os.Chown(l.kubeconfig, 0, jailUser); err != nil { // As the account's token.
			t.Fatal(err)
		}
		lookIn(t, l.kubeconfig)
		control := l.replica(1)
		j := l.jail(control.name, l.trust.controlPlane)
		j.Env = append(j.Env, "TMPDIR="+j.Writable)
		control.Process = j.start(t, control.name, control.arguments())
		d := &dataPlane{lab: l, plane: plane}
		k := l.jail("postern-dataplane", l.trust.dataPlane)
		d.Process = k.start(t, "postern-dataplane", l.dataArguments(plane, k.Writable, control.xds))
		d.awaitReady()
		s.answers(t)
		control.awaitSettled(plane)
		for _, of := range []struct {
			process   *processes.Process
			folder    string
			processes int
		}{{control.Process, j.Writable, 1}, {d.Process, k.Writable, map[string]int{planeGo: 1, planeEnvoy: 2}[plane]}} {
			found := family(t, of.process.Command.Process.Pid)
			if len(found) != of.processes {
				t.Errorf("%d processes, want %d", len(found), of.processes)
			}
			for _, pid := range found {
				for _, fault := range slices.Concat(rights(t, pid), writable(t, pid, of.folder)) {
					t.Errorf("process %d: %s", pid, fault)
				}
			}
			of.process.Signal(syscall.SIGTERM)
			if err := of.process.AwaitEnd(); err != nil {
				t.Errorf("it ends with %v", err)
			}
		}
	})
}

// start runs the binary in the jail.
func (j jail) start(t *testing.T, name string, arguments []string) *processes.Process {
	t.Helper()
	j.Command = append(j.Command, arguments...)
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), jailVariable+"="+string(text))
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return processes.Start(t, name+" in its jail", command)
}

// lookIn lets the jail's user read a file of its group, and every user look into the folders above.
func lookIn(t *testing.T, file string) {
	t.Helper()
	err := os.Chmod(file, 0o440)
	for folder := filepath.Dir(file); err == nil && folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		err = os.Chmod(folder, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
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

// jail prepares one for a process with certificates; its command has no arguments yet. All that is in it can be read by its
// user.
func (l *lab) jail(name, certificates string) jail {
	l.t.Helper()
	own := filepath.Join(l.folder, name)
	j := jail{
		Root: filepath.Join(own, "root"), Writable: filepath.Join(own, "memory"), Programs: map[string]string{},
		Env: []string{"PATH=/usr/bin", "POD_NAME=" + name, "POD_NAMESPACE=" + systemNamespace},
	}
	for _, folder := range []string{own, j.Root, j.Writable} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	programs := map[string]string{"postern": os.Getenv(processes.Postern), planeEnvoy: live.NeedEnvoy(l.t)}
	j.Env = append(j.Env, "ENVOY="+filepath.Join(own, planeEnvoy))
	for name, from := range programs {
		from, err := filepath.EvalSymlinks(from)
		if err != nil {
			l.t.Fatal(err)
		}
		to := filepath.Join(own, name)
		if err := os.WriteFile(to, nil, 0o755); err != nil {
			l.t.Fatal(err)
		}
		j.Programs[from] = to
	}
	j.Command = []string{filepath.Join(own, "postern")}
	// As a Secret's volume with fsGroup.
	files, err := filepath.Glob(filepath.Join(certificates, "*"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, file := range append(files, certificates) {
		if err := os.Chown(file, 0, jailUser); err != nil {
			l.t.Fatal(err)
		}
		mode := os.FileMode(0o440)
		if file == certificates {
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
