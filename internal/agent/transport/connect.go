package transport

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Dialer makes TCP connections from where a pod stands: in production inside its network namespace, marked so that they are
// not captured again; in tests anywhere. Errors wrap the errno, are those of the context, or say by a method Gone() bool that
// the pod is no more.
type Dialer interface {
	Dial(ctx context.Context, to netip.AddrPort) (Socket, error)
}

// Connector makes connections that are ready for use.
type Connector struct {
	Dialer    Dialer
	KeepAlive KeepAlive
	// Turn, if not nil, is what the connections take turns by (Conn.TakeTurns), also in what follows here.
	Turn func()
	// Through, if not nil, has what was dialled connect to the peer, or returns why not. It ends when the context does.
	Through func(ctx context.Context, c *Conn) error
	// Handshake, if not nil, agrees with the peer on a security layer and puts it on the connection (Conn.Secure), or returns why not. It
	// ends when the context does.
	Handshake func(ctx context.Context, c *Conn) error
	// DialTimeout and HandshakeTimeout bound the stages, where the context does not; zero or less: not at all. Through is part of the first.
	DialTimeout, HandshakeTimeout time.Duration
}

// ErrHandshakeTimeout is the error of a handshake that took longer than HandshakeTimeout.
var ErrHandshakeTimeout = fmt.Errorf("handshake: %w", context.DeadlineExceeded)

// HandshakeError is the error of Connect when the peer was reached and the handshake with it failed. Any other error is that of reaching it.
type HandshakeError struct{ Err error }

// Error implements error.
func (e *HandshakeError) Error() string { return fmt.Sprintf("handshake: %v", e.Err) }

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Connect dials, and then does the handshake if there is to be one. The context's deadline bounds all and its cancellation ends
// whatever is under way.
func (k *Connector) Connect(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	c, err := k.reach(ctx, to)
	if err != nil || k.Handshake == nil {
		return c, err
	}
	if err := k.handshake(ctx, c); err != nil {
		_ = c.Close()
		return nil, &HandshakeError{err}
	}
	return c, nil
}

// reach makes the connection to the peer, which has no security yet.
func (k *Connector) reach(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	if k.DialTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.DialTimeout)
		defer cancel()
	}
	s, err := k.Dialer.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	c, err := New(s)
	if err == nil {
		k.takeTurns(c)
		err = k.KeepAlive.set(c.fd) // nobody else knows the connection, who could close it meanwhile
	}
	if err == nil && k.Through != nil {
		err = runStage(ctx, c, k.Through)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return c, nil
}

// takeTurns has a connection that was waited for take turns from now on.
func (k *Connector) takeTurns(c *Conn) {
	if k.Turn != nil {
		c.TakeTurns(k.Turn)
		k.Turn()
	}
}

func (k *Connector) handshake(ctx context.Context, c *Conn) error {
	if k.HandshakeTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, k.HandshakeTimeout, ErrHandshakeTimeout)
		defer cancel()
	}
	return runStage(ctx, c, k.Handshake)
}

// runStage has a stage read and write until it has ended, or the context has.
func runStage(ctx context.Context, c *Conn, stage func(context.Context, *Conn) error) error {
	stop := context.AfterFunc(ctx, func() {
		c.Interrupt()
		_ = c.SetWriteDeadline(past) // fails only when the connection is closed already
	})
	err := stage(ctx, c)
	if !stop() { // it has interrupted c, or is about to
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}
