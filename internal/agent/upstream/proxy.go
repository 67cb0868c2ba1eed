package upstream

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/connectproxy"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// ProxyError says that the proxy through which a host is called was reached, and did not connect to the host.
type ProxyError struct{ Err error }

// Error implements error.
func (e *ProxyError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// askProxy asks the proxy at the other end of a connection for the host.
func askProxy(c *transport.Conn, r connectproxy.Request) error {
	inner := error(nil)
	if err := c.Pin(func() { inner = connectproxy.Connect(c, r) }); err != nil {
		return err
	}
	if inner != nil {
		return &ProxyError{inner}
	}
	return nil
}

// proxyFailure says what a proxy's failure is: it may reach the host later, or it does not let the call through.
func proxyFailure(e *ProxyError) call.Kind {
	var refused *connectproxy.Refused
	if errors.As(e.Err, &refused) && !refused.Unreachable() || errors.Is(e.Err, connectproxy.ErrMalformed) || errors.Is(e.Err, connectproxy.ErrHost) {
		return call.ProxyRefused
	}
	return call.ConnectFailed
}
