package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// Dialer makes TCP connections from where a pod is.
type Dialer = transport.Dialer

// Dial redeems a granted request with a new connection, and blocks until that is made. When it fails, the request is done with.
func (p *Pool) Dial(ctx context.Context, r *Request) (Lease, error) {
	k, security := p.connector(r)
	began := time.Now()
	sock, err := k.Connect(ctx, r.to.host.addr)
	if err != nil {
		sock, err = p.detour(ctx, r, &k, err)
	}
	return p.dialed(ctx, r, made{sock, security, err}, began)
}

// made is a connection that was made, or why not.
type made struct {
	sock     *transport.Conn
	security Security
	err      error
}

// dialed makes a lease of the connection that was made for a request, or ends the request.
func (p *Pool) dialed(ctx context.Context, r *Request, m made, began time.Time) (Lease, error) {
	r.state = unused // until then whoever gives up the request gives the place back
	now := time.Now()
	if err := m.err; err != nil {
		if hurried(ctx, err, now.Sub(began)) {
			p.vacate(now, r.to)
		} else {
			p.dialFailed(now, r, err)
		}
		if f := r.pending; f != nil {
			r.pending = nil
			p.failJoined(ctx, f, err)
		}
		return Lease{}, err
	}
	p.connected(r.to)
	c := &Conn{
		Conn: m.sock, pool: p, to: r.to, born: now, uses: 1, client: r.Client, capacity: 1, inUse: 1, multiplexed: r.Multiplexed, pending: r.pending,
		security: m.security,
	}
	r.pending = nil
	return Lease{Conn: c, nth: 1, pinned: r.Pinned}, nil
}

// ErrConnectTimeout is the cause of a dial's deadline that the timeout for connecting has set, and not what was left of a call's time.
var ErrConnectTimeout = fmt.Errorf("timeouts.connect has passed: %w", context.DeadlineExceeded)

// enoughTime is how long a host is waited for at least before it counts as one that cannot be connected to because a call's own time was up.
// A connect that takes longer has lost a packet.
const enoughTime = 250 * time.Millisecond

// hurried reports whether a dial ended because the call's own time was up, too early to say anything of the host.
func hurried(ctx context.Context, err error, took time.Duration) bool {
	return ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) && took < enoughTime && !errors.Is(context.Cause(ctx), ErrConnectTimeout)
}

// dialFailed frees the place of a connection that could not be made, and notes it of the host if that is to blame: that the pool cannot
// connect to it and, for all pods, that it has refused a call that was sent there to balance the load.
func (p *Pool) dialFailed(now time.Time, r *Request, err error) {
	hc := r.to
	if kind := FailureOf(err); kind == call.ConnectFailed || kind == call.ConnectTimeout {
		p.unconnected(hc, now)
	}
	if !r.Pinned && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)) {
		hc.host.reportRefused(now)
	}
	p.vacate(now, hc)
}

// FailureOf returns the kind of failure that a dial's error is: ClientGone when the client or its pod has gone, ConnectTimeout
// and ConnectFailed when the upstream or the way to it is to blame, and Internal for everything else: that is the agent's own
// failure or the node's, of which the upstream, and other pods that call it, know nothing. In a handshake it is TLSFailed what would be
// the same again, and whatever else goes wrong was wrong with the upstream or the way. It looks at error values and errnos, never at text.
func FailureOf(err error) call.Kind {
	var pod interface{ Gone() bool }
	var errno syscall.Errno
	var handshake *transport.HandshakeError
	var proxy *ProxyError
	var final interface{ Final() bool }
	switch {
	case errors.As(err, &pod) && pod.Gone(), errors.Is(err, context.Canceled):
		return call.ClientGone
	case errors.As(err, &final) && final.Final():
		return call.TLSFailed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ErrConnectTimeout):
		return call.ConnectTimeout
	case errors.As(err, &proxy):
		return proxyFailure(proxy)
	case errors.As(err, &handshake):
		return call.ConnectFailed
	case !errors.As(err, &errno):
		return call.Internal
	}
	switch errno {
	case syscall.ETIMEDOUT:
		return call.ConnectTimeout
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.EPROTO,
		syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETUNREACH, notOnNet,
		syscall.EAFNOSUPPORT: // the last one: the node has no such family
		return call.ConnectFailed
	default: // EADDRNOTAVAIL (no ports left), EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EACCES, ENETDOWN and the like
		return call.Internal
	}
}
