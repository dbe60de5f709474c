//go:build unix && !linux

package envoyproc

import "syscall"

// childAttributes: only Linux can tie a child's life to ours.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
