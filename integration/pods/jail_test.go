package pods

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// jailVariable makes this test binary set up a jail, as JSON, and become the command in it.
	jailVariable = "POSTERN_TEST_JAIL"
	// jailUser is the user and group of the images.
	jailUser = 65532
	// capabilitiesMax is above the last capability that a kernel has.
	capabilitiesMax = 64
)

// jail is a container as the manifests have it: a user without capabilities, who can get none, and a root that cannot be
// written to but for one folder.
type jail struct {
	// Root is an empty folder where the root is mounted.
	Root string
	// Writable is mounted anew, empty.
	Writable string
	// Programs are mounted over files that every user reaches: from, to.
	Programs map[string]string
	Command  []string
	Env      []string
}

// runJailed is in a mount namespace of its own.
func runJailed(text string) int {
	var j jail
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		// What follows is of the thread, and the command gets what the thread has.
		runtime.LockOSThread()
		err = j.enter()
	}
	fmt.Fprintln(os.Stderr, "jail:", err)
	return 1
}

// mount makes the root and enters it.
func (j jail) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for from, to := range j.Programs {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", from, err)
		}
	}
	if err := unix.Mount("/", j.Root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	attributes := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, j.Root, unix.AT_RECURSIVE, attributes); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	// As an emptyDir of medium Memory with fsGroup.
	if err := unix.Mount("tmpfs", j.Root+j.Writable, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, fmt.Sprintf("size=64m,mode=2770,uid=0,gid=%d", jailUser)); err != nil {
		return fmt.Errorf("mount the folder: %w", err)
	}
	if err := unix.Chroot(j.Root); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	return unix.Chdir("/")
}

// become gives up all rights and becomes the command.
func (j jail) become() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	for c := range uintptr(capabilitiesMax) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := syscall.Setgroups([]int{jailUser}); err != nil {
		return err
	}
	if err := syscall.Setgid(jailUser); err != nil {
		return err
	}
	if err := syscall.Setuid(jailUser); err != nil {
		return err
	}
	return syscall.Exec(j.Command[0], j.Command, j.Env)
}

func (j jail) enter() error {
	if err := j.mount(); err != nil {
		return err
	}
	return j.become()
}
