package upstream

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// Proxy has connections that were just made to it lead on to the host that a pool's cluster stands for. Two that are equal (==) ask alike.
type Proxy interface {
	// Connect has a connection lead to a port of the host (0: its own), or returns why it does not: a *ProxyError if the proxy has said so. It
	// waits until the connection is interrupted.
	Connect(c *transport.Conn, port uint16) error
}

// ProxyError says that the proxy through which a host is called was reached, and did not connect to the host.
type ProxyError struct {
	Err error
	// Refused: it does not let the call through. Otherwise it may reach the host later.
	Refused bool
}

// Error implements error.
func (e *ProxyError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// GoThrough has the connections that are made from now on made by x, where the pool's calls go through a proxy. Those that were made before go on.
func (p *Pool) GoThrough(x Proxy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proxy != nil && x != nil {
		p.proxy = x
	}
}

// proxyFailure says what a proxy's failure is.
func proxyFailure(e *ProxyError) call.Kind {
	if e.Refused {
		return call.ProxyRefused
	}
	return call.ConnectFailed
}
