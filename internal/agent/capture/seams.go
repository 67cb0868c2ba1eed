package capture

import (
	"context"
	"net"
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/pods"
)

// PodRef names a pod.
type PodRef = pods.Ref

// PodSpec is what is wanted for one pod.
type PodSpec struct {
	Pod      PodRef
	Redirect Redirect
}

// Handler serves captured connections.
type Handler interface {
	// ServeCaptured serves one connection of pod that was on its way to original. It owns conn, blocks until it is done
	// with it, and is called on a goroutine of its own. It must return soon after conn is closed from outside, which happens
	// when the pod ends or a forced stop cannot wait longer.
	ServeCaptured(pod PodRef, conn *net.TCPConn, original netip.AddrPort)
}

// Dialer opens connections that leave from inside one pod's network namespace and are not captured again. *PodDialer is it.
type Dialer interface {
	// Dial connects to a literal address. The context's deadline bounds the wait, its cancellation ends it. Errors are
	// ErrNotCaptured, the context's, or *net.OpError as from the net package, so errors.Is finds syscall.ECONNREFUSED and the like.
	// The connection has TCP_NODELAY set and keep-alive probes off: SetKeepAliveConfig is the caller's to call.
	Dial(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error)
}
