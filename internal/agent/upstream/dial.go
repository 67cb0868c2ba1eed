package upstream

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// Dialer makes TCP connections from where a pod stands.
type Dialer = transport.Dialer

// connect makes a connection with the policy's keep-alive probes in force.
func connect(ctx context.Context, d Dialer, to netip.AddrPort, k policy.KeepAlive) (*transport.Conn, error) {
	c := transport.Connector{Dialer: d, KeepAlive: transport.KeepAlive(k)}
	return c.Connect(ctx, to)
}

// FailureOf says what kind of failure a dial's error is: ClientGone when nobody is there any more for whom to dial, ConnectTimeout
// and ConnectFailed when the upstream or the way to it is to blame, and Internal for everything else: that is the agent's own
// failure or the node's, of which the upstream, and other pods that call it, know nothing. Whatever else goes wrong in a handshake was
// wrong with the upstream. It looks at error values and errnos, never at text.
func FailureOf(err error) call.Kind {
	var pod interface{ Gone() bool }
	var errno syscall.Errno
	var handshake *transport.HandshakeError
	switch {
	case errors.As(err, &pod) && pod.Gone(), errors.Is(err, context.Canceled):
		return call.ClientGone
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return call.ConnectTimeout
	case errors.As(err, &handshake):
		return call.ConnectFailed
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
