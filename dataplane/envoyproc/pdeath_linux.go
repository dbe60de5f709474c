//go:build linux

package envoyproc

import "syscall"

// childAttributes let the kernel end Envoy when we are killed. The signal comes at the death of the thread that started
// it (prctl(2), PR_SET_PDEATHSIG), so that thread must be locked until Envoy has ended. Envoy has a process group of its
// own: a ^C at the terminal reaches us only, and we end Envoy in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
