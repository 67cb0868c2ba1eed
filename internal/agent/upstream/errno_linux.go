package upstream

import "syscall"

// notOnNet is what Linux has for a machine that is on no network.
const notOnNet = syscall.ENONET
