package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// Dialer makes TCP connections from where a pod stands: in production inside its network namespace, marked so that they are
// not captured again; in tests anywhere. Errors wrap the errno, are those of the context, or say by a method Gone() bool that
// the pod is no more.
type Dialer interface {
	Dial(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error)
}

// connect dials and puts the policy's keep-alive probes in force.
func connect(ctx context.Context, d Dialer, to netip.AddrPort, k policy.KeepAlive) (*transport.Conn, error) {
	tcp, err := d.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := transport.SetKeepAlive(tcp, k.Idle, k.Interval, k.Probes); err != nil {
		_ = tcp.Close()
		return nil, err
	}
	c, err := transport.New(tcp)
	if err != nil {
		_ = tcp.Close()
	}
	return c, err
}

// FailureOf says what kind of failure a dial's error is: ClientGone when nobody is there any more for whom to dial, ConnectTimeout
// and ConnectFailed when the upstream or the way to it is to blame, and Internal for everything else: that is the agent's own
// failure or the node's, of which the upstream, and other pods that call it, know nothing. It looks at error values and errnos,
// never at text.
func FailureOf(err error) call.Kind {
	var pod interface{ Gone() bool }
	var errno syscall.Errno
	switch {
	case errors.As(err, &pod) && pod.Gone(), errors.Is(err, context.Canceled):
		return call.ClientGone
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return call.ConnectTimeout
	case !errors.As(err, &errno):
		return call.Internal
	}
	switch errno {
	case syscall.ETIMEDOUT:
		return call.ConnectTimeout
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.EPROTO,
		syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETUNREACH, syscall.ENONET:
		return call.ConnectFailed
	default: // EADDRNOTAVAIL (no ports left), EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EACCES, ENETDOWN and the like
		return call.Internal
	}
}
