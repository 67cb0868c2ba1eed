package capture

import (
	"context"
	"net/netip"
	"os"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// PodRef names a pod.
type PodRef = pods.Ref

// PodSpec is what is wanted for one pod.
type PodSpec struct {
	Pod      PodRef
	Redirect intent.Redirect
	// Policies are named beside the problems of the pod.
	Policies []policy.ID
	// Claims say which policies a connection to an address would come under. It may be nil, and is called only for pods that have
	// connections from before their capture.
	Claims func() intent.Claims
}

// Handler serves captured connections.
type Handler interface {
	// ServeCaptured serves one connection of pod that was on its way to original. It owns conn, which is a transport.Socket, blocks
	// until it is done with it, and is called on a goroutine of its own. It must return soon after conn is closed from outside, which happens
	// when the pod ends or a forced stop cannot wait longer.
	ServeCaptured(pod PodRef, conn *os.File, original netip.AddrPort)
}

// Dialer opens connections that leave from inside one pod's network namespace and are not captured again.
type Dialer interface {
	// Dial connects to a literal address. The context's deadline bounds the wait, its cancellation ends it. Errors are
	// ErrNotCaptured or *net.OpError as from the net package, so errors.Is finds syscall.ECONNREFUSED or
	// context.DeadlineExceeded. Small writes on the connection are not delayed (TCP_NODELAY), and there are no keep-alive probes.
	Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error)
}

// Sandboxes is where the pods of the node are. *pods.Watcher is one.
type Sandboxes interface {
	// Sandboxes returns the running ones by pod UID, and whether that is known at all.
	Sandboxes() (map[string]pods.Sandbox, bool)
	// Changed wakes its one reader after they changed.
	Changed() <-chan struct{}
	// Hurry has changes noticed soon.
	Hurry()
}

var (
	_ Sandboxes = (*pods.Watcher)(nil)
	_ Dialer    = (*PodDialer)(nil)
)
