package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/socket"
	"fairlead.dev/fairlead/internal/policy"
)

// Dialer makes TCP connections from where a pod stands: in production inside its network namespace, marked so that they are
// not captured again; in tests anywhere. Errors wrap the errno, or are those of the context.
type Dialer interface {
	Dial(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error)
}

// connect dials and puts the policy's keep-alive probes in force.
func connect(ctx context.Context, d Dialer, to netip.AddrPort, k policy.KeepAlive) (*socket.Conn, error) {
	tcp, err := d.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	probes := net.KeepAliveConfig{Enable: k.Idle > 0, Idle: k.Idle, Interval: k.Interval, Count: k.Probes}
	if err := tcp.SetKeepAliveConfig(probes); err != nil {
		_ = tcp.Close()
		return nil, err
	}
	c, err := socket.New(tcp)
	if err != nil {
		_ = tcp.Close()
	}
	return c, err
}

// FailureOf says what kind of failure a dial's error is. It looks at error values and errnos, never at text.
func FailureOf(err error) call.Kind {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return call.ConnectTimeout
	case errors.Is(err, context.Canceled):
		return call.ClientGone
	case isLocal(err):
		return call.Internal
	}
	return call.ConnectFailed
}

// isLocal reports failures to make a socket at all: they are the agent's own, not the upstream's.
func isLocal(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.EACCES:
		return true
	default:
		return false
	}
}
