//go:build !linux

package upstream

import "syscall"

// notOnNet: other systems have none of their own, and say ENETDOWN.
const notOnNet = syscall.ENETDOWN
