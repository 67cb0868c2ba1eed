// Package capture opens the doors of pods: for every pod that policies select it places listeners and redirect rules inside
// the pod's network namespace, keeps the lease under which the kernel honours them, and hands what it accepts to a Handler.
//
// It must not look into connections, decide what a policy means, or touch the host's network namespace. The mechanism that
// redirects stands behind the Mechanism interface; nftables is the one there is.
package capture
