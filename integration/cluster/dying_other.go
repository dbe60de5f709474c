//go:build !linux

package cluster

import "syscall"

// dyingWithParent is nothing that this system has.
func dyingWithParent() *syscall.SysProcAttr { return nil }
