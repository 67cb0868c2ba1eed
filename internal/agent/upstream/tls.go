package upstream

import (
	"context"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Security puts a security layer on connections that have just been made. Two that are equal (==) make the same of a connection.
type Security interface {
	// Handshake returns why the connection cannot be used for what it is to carry. It waits until the connection is interrupted. An error that says
	// by a method Final() bool that it would be the same again is not the kind of failure that goes away.
	Handshake(c *transport.Conn, carries Carries) error
}

// Carries is what a connection is to carry.
type Carries uint8

const (
	// OneByOne: one exchange after the other.
	OneByOne Carries = iota
	// Many: see Request.Multiplexed.
	Many
	// Either: see Request.Either.
	Either
)

func (r *Request) carries() Carries {
	switch {
	case r.Either:
		return Either
	case r.Multiplexed:
		return Many
	}
	return OneByOne
}

// Secure has the connections that are made from now on be secured by s; nil: not at all. Those that were made before serve the exchanges
// that they carry, and no others.
func (p *Pool) Secure(s Security) {
	p.change(func() []*Conn {
		if p.security == s {
			return nil
		}
		p.security = s
		p.drainShared()
		return p.evictAll(nil)
	})
}

// drainShared has no more exchanges begin on connections that carry some. It expects the lock.
func (p *Pool) drainShared() {
	drain := func(hc *hostConns) {
		for len(hc.shared) > 0 {
			hc.shared[0].draining = true
			p.share(hc.shared[0])
		}
	}
	p.eachHost(drain)
}

// connector returns what makes connections for a request, through a proxy if there is one, and how they are secured.
func (p *Pool) connector(r *Request) (transport.Connector, Security) {
	p.mu.Lock()
	keepAlive, s, x := p.limits.KeepAlive, p.security, p.proxy
	p.mu.Unlock()
	k := transport.Connector{Dialer: p.dialer, KeepAlive: transport.KeepAlive(keepAlive), Turn: r.Turn, DialTimeout: r.ConnectTimeout}
	if x != nil {
		k.Through = func(_ context.Context, c *transport.Conn) error { return x.Connect(c, r.Original.Port()) }
	}
	if r.Unsecured {
		s = nil
	}
	if s != nil {
		k.HandshakeTimeout = r.HandshakeTimeout
		k.Handshake = func(_ context.Context, c *transport.Conn) error { return s.Handshake(c, r.carries()) }
		if r.Choice != nil {
			k.Handshake = r.Choice.timed(k.Handshake)
		}
	}
	return k, s
}
