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

// serve carries the connection to its end. Its descriptor is pinned except in a tunnel.
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
	err := c.client.Conn.Pin(func() {
		switch {
		case shed:
			c.passThrough(PassedShed, nil)
		case c.identify():
			c.serveHTTP1()
		}
	})
	if c.tunnel != nil && err == nil {
		c.client.Activity.BecomeTunnel()
		c.tunnel()
	}
}

func (c *connection) serveHTTP1() {
	if c.session.Serve() {
		c.prefix = c.session.Prefix()
		c.passThrough(PassedUnmatched, nil)
		return
	}
	c.tunnel = c.session.Tunnel()
}

// panicked reports a panic and closes the connection.
func (c *connection) panicked(recovered any) {
	what, stack := panics.Cause(recovered)
	c.srv.events.Panicked(c.client.Pod, what, stack)
	c.client.Conn.ResetOnClose()
	c.session.Salvage()
}
