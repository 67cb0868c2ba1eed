package proxy

import (
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/h1"
	"fairlead.dev/fairlead/internal/agent/proxy/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
)

// connection is one captured connection on its way through detection and routing to the driver of its protocol.
type connection struct {
	srv     *Server // immutable
	client  drive.Client
	routes  route.Selector
	session h1.Session
	prefix  []byte // what was read of a connection that is not understood
	// tunnel carries on, outside transport.Conn.Pin, what is no longer parsed; nil: nothing.
	tunnel func()
}

// serve carries the connection to its end. Its descriptor is pinned except in a tunnel and while an HTTP session waits.
func (c *connection) serve(shed bool) {
	defer func() {
		if what := recover(); what != nil {
			c.panicked(what)
			return
		}
		c.session.Close()
	}()
	c.routes.Init(c.srv.store, c.client.Pod, c.client.Original)
	c.session.Init(c.srv.h1, &c.client, &c.routes)
	http := false
	if c.client.Conn.Pin(func() { http = c.begin(shed) }) != nil {
		return // closed from outside
	}
	if http {
		c.serveHTTP1()
	}
	if c.tunnel != nil {
		c.client.Activity.BecomeTunnel()
		c.tunnel()
	}
}

// begin finds out what the connection carries, and prepares it to be passed through if that is not HTTP/1.
func (c *connection) begin(shed bool) (http bool) {
	if shed {
		c.passThrough(PassedShed, nil)
		return false
	}
	return c.identify()
}

func (c *connection) serveHTTP1() {
	if !c.session.Serve() {
		c.tunnel = c.session.Tunnel()
		return
	}
	c.prefix = c.session.Prefix()
	_ = c.client.Conn.Pin(func() { c.passThrough(PassedUnmatched, nil) }) // fails when closed from outside
}

// panicked reports a panic and closes the connection.
func (c *connection) panicked(recovered any) {
	what, stack := panics.Cause(recovered)
	c.srv.events.Panicked(c.client.Pod, what, stack)
	c.client.Conn.ResetOnClose()
	c.session.Salvage()
}
