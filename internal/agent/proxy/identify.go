package proxy

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/proxy/tunnel"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// identify finds out whether the connection may carry HTTP/1. If not, it prepares the connection to be served as HTTP/2 or to be passed
// through, and reports false.
func (c *connection) identify() bool {
	switch c.routes.Declared() {
	case route.Ungoverned:
		c.passThrough(PassedUnmatched, nil, c.session.Buffered())
		return false
	case route.Opaque:
		if !c.routes.NeedsName() {
			c.passThrough(PassedDeclared, nil, c.session.Buffered())
			return false
		}
	case route.HTTP1:
		return !c.routes.MeetsTLS() || c.identifyClear()
	case route.HTTP2:
		if !c.routes.MeetsTLS() || c.identifyClear() {
			c.serveHTTP2()
		}
		return false
	case route.Nothing:
	}
	proto, err := detect.Wait(&c.session, &c.session, c.srv.sniffDelay)
	switch {
	case errors.Is(err, io.EOF) && len(c.session.Buffered()) == 0: // it may still be waiting for a server that speaks first
		c.passUnused(nil)
		return false
	case errors.Is(err, io.EOF):
		proto = detect.Other
	case err != nil:
		return false
	case proto == detect.Silent:
		return c.identifyLate()
	}
	return c.decide(proto, nil)
}

// identifyClear finds out whether a client speaks HTTP in the clear, as most do where the agent is to speak TLS for them; they speak first. One
// that speaks TLS by itself is passed through, unless its TLS is to end here: it verifies its server.
func (c *connection) identifyClear() bool {
	if len(c.session.Buffered()) == 0 && c.awaitClient(time.Time{}) != nil {
		return true // its end is the session's to see
	}
	if !detect.LikeTLS(c.session.Buffered()) {
		return true
	}
	proto := detect.Detect(c.session.Buffered())
	for until := time.Now().Add(c.srv.sniffDelay); proto == detect.Undecided; proto = detect.Detect(c.session.Buffered()) {
		if c.awaitClient(until) != nil {
			proto = detect.Other
			break
		}
	}
	return c.decide(proto, nil)
}

// decide acts on what the first bytes showed. Whatever it is, no policy for a name governs it as a whole unless it names one. s is the
// connection to the server if there is one already.
func (c *connection) decide(proto detect.Protocol, s *tunnel.ServerConn) (http bool) {
	why := PassedOther
	switch c.routes.NameWhole(""); proto {
	case detect.HTTP1:
		s.Close()
		return true
	case detect.HTTP2:
		s.Close()
		c.serveHTTP2()
		return false
	case detect.TLS:
		var end ended
		if end, why = c.identifyTLS(); end != passedOn {
			s.Close()
			return end == forHTTP1
		}
	case detect.Undecided, detect.Other, detect.Silent:
	}
	c.passThrough(why, s, c.session.Buffered())
	return false
}

// identifyLate deals with a client that has sent nothing: the server may be the first to speak, or the client has made the
// connection in advance, or is slow on a busy machine. The server is connected to, and the side that speaks first decides (rule 32).
// What the server does reaches the client at once, a refusal or the end of the connection included, since a client may have connected
// to see just that.
//
// The connection is made outside the pool, and not retried: the client may turn out to speak HTTP, and then it must not have used up
// a place that a request needs. Where it cannot be made, but hosts are called through a proxy, the client is waited for: it is more
// likely one of theirs that is slow than one whose server would have been the first to speak.
func (c *connection) identifyLate() bool {
	began := time.Now()
	s := &tunnel.ServerConn{Peer: c.routes.Address(began)}
	who := c.listen(func(ctx context.Context) (*transport.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.connectLimit())
		defer cancel()
		conn, err := c.dial(ctx, s.Peer)
		s.Conn, s.Took = conn, time.Since(began)
		return conn, err
	})
	if s.Conn == nil {
		s = nil
	}
	switch who {
	case theClient:
		return c.decideLate(s)
	case both:
		return c.decide(detect.Detect(c.session.Buffered()), s)
	case theServer:
		if s == nil || !s.Conn.Unread() {
			c.passUnused(s)
			return false
		}
		return c.decide(detect.Silent, s)
	case noServer:
		return c.decideUnreachable()
	case nobody:
	}
	s.Close()
	return false
}

// speaker is the side that was the first to send something.
type speaker uint8

const (
	// nobody: the client's connection has ended.
	nobody speaker = iota
	theClient
	// theServer has sent something or ended, or the client has ended its side.
	theServer
	both
	// noServer: it could not be connected to.
	noServer
)

// listen connects to the server and waits for the first byte of either side.
func (c *connection) listen(dial func(context.Context) (*transport.Conn, error)) speaker {
	p := detect.StartProbe(dial, c.client.Conn.Wake)
	defer p.End()
	err := c.awaitClient(time.Time{})
	p.End()
	heard := p.Result()
	if c.client.Conn.ClearDeadlines() != nil {
		return nobody
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.awaitClient(time.Now()) // it may have spoken at the same moment
	}
	silent := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)
	switch {
	case err == nil && heard == detect.Greeting:
		return both
	case err == nil:
		return theClient
	case silent && heard == detect.Unreachable:
		return noServer
	case silent:
		return theServer
	}
	return nobody
}

// awaitClient waits for the first bytes until a time (zero: for ever), unless the wait is cut short by transport.Conn.Wake.
func (c *connection) awaitClient(until time.Time) error {
	if err := c.session.SetReadDeadline(until); err != nil {
		return err
	}
	return c.session.More()
}

// decideUnreachable acts on a server that cannot be connected to, and whose client has said nothing.
func (c *connection) decideUnreachable() (http bool) {
	err := io.EOF
	if c.routes.MayGoThroughProxy() {
		err = c.awaitClient(time.Time{})
	}
	switch {
	case err == nil:
		return c.decideLate(nil)
	case errors.Is(err, io.EOF):
		c.unreachable(PassedOther)
	}
	return false
}

// decideLate waits for enough of the client's bytes to decide.
func (c *connection) decideLate(s *tunnel.ServerConn) (http bool) {
	proto, err := detect.Wait(&c.session, &c.session, c.srv.sniffDelay)
	if err != nil {
		s.Close()
		return false
	}
	return c.decide(proto, s)
}
