package cluster

import "syscall"

// dyingWithParent has a process be killed where the one that started it is; in a namespace of processes it would be anyway.
func dyingWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
