package proxy

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/tunnel"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// smallPrefix is what surely fits the send buffer of a new connection (tcp_wmem's least is 4 KiB).
const smallPrefix = 4 << 10

// settings are those in force for the connection as a whole.
func (c *connection) settings() *policy.Settings {
	if s := c.routes.Settings(); s != nil {
		return s
	}
	return &c.srv.defaults
}

// dial connects to an address outside of the pool, once. The wait must be bounded (connectLimit) whoever governs the connection: to the
// client the connection is established already, so its own connect timeout, after which it would try another address, no longer runs.
func (c *connection) dial(ctx context.Context, to netip.AddrPort) (*transport.Conn, error) {
	dialer := c.srv.store.Dialer(c.client.Pod)
	if dialer == nil {
		return nil, net.ErrClosed // the pod has just gone
	}
	k := transport.Connector{Dialer: dialer, KeepAlive: transport.KeepAlive(c.settings().Pool.KeepAlive), Turn: c.client.Share.Turn}
	return k.Connect(ctx, to)
}

// connectLimit is how long dial may take.
func (c *connection) connectLimit() time.Duration {
	if limit := c.settings().Timeouts.Connect; limit > 0 {
		return limit
	}
	return c.srv.defaults.Timeouts.Connect
}

// passThrough carries the connection to its end without parsing it. s is the connection to the server if there is one already, read what was
// read of the client's.
func (c *connection) passThrough(why Passed, s *tunnel.ServerConn, read []byte) {
	c.client.Activity.Set(drive.Passing)
	panics.Aside(func() { // connecting needs a large stack, which would stay with the idle connection
		if s == nil && why == PassedShed {
			s = c.connectDirectly()
		} else {
			s = c.connect(s)
		}
	})
	if s == nil {
		c.unreachable(why)
		return
	}
	c.srv.events.Passed(why)
	c.pass(s, read, false)
}

// passUnused is passThrough for a connection of which one side has ended before anything was said: somebody has looked whether the server is
// there, or has made the connection in advance. It is no call of a policy. s is the connection to the server if there is one already.
func (c *connection) passUnused(s *tunnel.ServerConn) {
	c.routes.NameWhole("")
	if r, _, ok := c.routes.Whole(); ok && r.ByName() { // without a call there is no way to the server
		c.passThrough(PassedOther, s, nil)
		return
	}
	c.client.Activity.Set(drive.Passing)
	if s == nil {
		panics.Aside(func() { s = c.connectDirectly() })
	}
	if s == nil {
		c.unreachable(PassedOther)
		return
	}
	c.srv.events.Passed(PassedOther)
	c.pass(s, nil, true)
}

// unreachable resets the connection of a client whose server cannot be connected to (rule 26).
func (c *connection) unreachable(why Passed) {
	c.srv.events.Passed(why)
	c.client.Conn.ResetOnClose()
}

// connect connects to the server by the rules of the policy that governs the connection as a whole, if one does. s is the connection
// to where the client wanted to go if there is one already, which is the call's first attempt then. It returns nil when there is no
// connection to be had.
func (c *connection) connect(s *tunnel.ServerConn) *tunnel.ServerConn {
	r, pinned, ok := c.routes.Whole()
	switch {
	case ok && r.ByName(): // the way that was looked at is not the call's
		s.Close()
		s = nil
	case ok:
	case s == nil:
		return c.connectDirectly()
	default:
		return s
	}
	return c.srv.connector.Connect(tunnel.Request{Client: &c.client, Route: r, Pinned: pinned, First: s, Name: c.routes.WholeName()})
}

// connectDirectly connects to the original destination of a connection that no policy governs.
func (c *connection) connectDirectly() *tunnel.ServerConn {
	there := drive.NewWhileThere(&c.client, time.Now().Add(c.connectLimit()), context.DeadlineExceeded)
	defer there.Stop()
	conn, err := c.dial(there, c.client.Original)
	if err != nil {
		there.Raise()
		return nil
	}
	return &tunnel.ServerConn{Conn: conn, Peer: c.client.Original}
}

// pass has the connection carried on between client and server, from what was read of the client's. One that is unused is counted once
// something was said on it all the same.
func (c *connection) pass(s *tunnel.ServerConn, read []byte, unused bool) {
	o := tunnel.Options{ToServer: read, Until: s.Until, Poller: c.srv.poller}
	var recorder routes.Recorder = routes.Discard{}
	if g := c.routes.Governing(); g != nil {
		recorder = g.Recorder()
		o.Idle = g.Base().Timeouts.Idle
	}
	var first int64 // bytes sent to the server here
	if len(read) > 0 && len(read) <= smallPrefix {
		// A new connection takes this much at once, so the buffer need not wait for the tunnel's end.
		if _, err := s.Conn.Write(read); err != nil {
			s.Close()
			c.client.Conn.ResetOnClose()
			return
		}
		first = int64(len(read))
		o.ToServer = nil
	} else {
		o.ToServer = bytes.Clone(read)
	}
	p := &passed{server: s, recorder: recorder, first: first, unused: unused}
	if c.routes.Governing() != nil {
		o.Moved = p.moved
	}
	p.carried = tunnel.New(c.client.Conn, s.Conn, o)
	c.tunnel = p.run
}

// passed is a connection that is passed through.
type passed struct {
	carried  *tunnel.Tunnel
	server   *tunnel.ServerConn
	recorder routes.Recorder
	first    int64 // bytes sent to the server before
	unused   bool  // nothing has been said on it yet

	sent, received int64 // bytes that were counted
}

func (p *passed) run() {
	if !p.unused {
		p.recorder.OpaqueOpened()
	}
	p.carried.Carry(p.ended)
}

// moved counts what a connection carries while it goes on, since it may for days.
func (p *passed) moved(toServer, toClient int64) {
	if sent, received, said := p.since(toServer, toClient); said {
		p.recorder.OpaqueMoved(sent, received)
	}
}

// ended gives the connection's place back and counts it, if something was said on it.
func (p *passed) ended(end tunnel.Result, lasted time.Duration) {
	defer p.server.Close()
	sent, received, said := p.since(end.ToServer, end.ToClient)
	if !said {
		return
	}
	p.recorder.OpaqueClosed(sent, received)
	p.recorder.TunnelEnded(lasted)
}

// since returns how many bytes were carried that were not counted yet, from what the tunnel has carried in all, and whether anything was said on
// the connection at all. One that was unused is counted with the first bytes.
func (p *passed) since(toServer, toClient int64) (sent, received int64, said bool) {
	if p.unused {
		if toServer+toClient == 0 {
			return 0, 0, false
		}
		p.unused = false
		p.recorder.OpaqueOpened()
	}
	sent, received = p.first+toServer-p.sent, toClient-p.received
	p.sent, p.received = p.sent+sent, p.received+received
	return sent, received, true
}
