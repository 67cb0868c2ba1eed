package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// identify finds out whether the connection may carry HTTP/1. If not, it passes the connection through to its end and reports
// false.
func (c *connection) identify() bool {
	switch c.routes.Declared() {
	case route.Ungoverned:
		c.passThrough(PassedUnmatched)
		return false
	case route.Opaque:
		c.passThrough(PassedDeclared)
		return false
	case route.HTTP:
		return true
	case route.Nothing:
	}
	proto, err := detect.Wait(&c.session, &c.session, c.srv.sniffDelay)
	switch {
	case errors.Is(err, io.EOF): // it may still be waiting for a server that speaks first
		proto = detect.Other
	case err != nil:
		return false
	case proto == detect.Silent:
		return c.identifyLate()
	}
	return c.decide(proto, nil)
}

// decide acts on what the first bytes showed. server is the connection to the server if there is one already.
func (c *connection) decide(proto detect.Protocol, server *transport.Conn) (http bool) {
	why := PassedOther
	switch proto {
	case detect.HTTP1:
		closeServer(server)
		return true
	case detect.HTTP2:
		why = PassedHTTP2
	case detect.TLS:
		why = PassedTLS
	case detect.Undecided, detect.Other, detect.Silent:
	}
	c.prefix = c.session.Buffered()
	if server == nil {
		c.passThrough(why)
	} else {
		c.pass(why, server)
	}
	return false
}

// identifyLate deals with a client that says nothing: the server may be the first to speak, or the client has made the
// connection in advance, or is slow on a busy machine. The server is connected to, and whoever speaks first decides (semantics
// rule 32). Whatever the server does reaches the client at once, also that it refuses or ends the connection: the client may have
// connected to see just that.
func (c *connection) identifyLate() bool {
	p := detect.StartProbe(c.dialOriginal, c.client.Conn.Wake)
	defer p.End()
	err := c.awaitClient(time.Time{})
	p.End()
	heard, server := p.Result()
	if c.client.Conn.ClearDeadlines() != nil {
		closeServer(server)
		return false
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.awaitClient(time.Now()) // it may have spoken at the same moment
	}
	switch {
	case err == nil && heard != detect.Greeting:
		return c.decideLate(server)
	case err == nil:
		return c.decide(detect.Detect(c.session.Buffered()), server)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF):
		if heard == detect.Unreachable {
			c.unreachable(PassedOther)
			return false
		}
		return c.decide(detect.Silent, server)
	}
	closeServer(server)
	return false
}

// awaitClient waits for the first bytes until a time (zero: for ever), unless the wait is cut short by transport.Conn.Wake.
func (c *connection) awaitClient(until time.Time) error {
	if err := c.session.SetReadDeadline(until); err != nil {
		return err
	}
	return c.session.More()
}

// decideLate waits for enough of the client's bytes to decide.
func (c *connection) decideLate(server *transport.Conn) (http bool) {
	proto, err := detect.Wait(&c.session, &c.session, c.srv.sniffDelay)
	if err != nil {
		closeServer(server)
		return false
	}
	return c.decide(proto, server)
}

func closeServer(server *transport.Conn) {
	if server != nil {
		_ = server.Close()
	}
}
