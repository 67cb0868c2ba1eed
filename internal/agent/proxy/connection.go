package proxy

import (
	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/h1"
	"fairlead.dev/fairlead/internal/agent/proxy/h2"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
)

// connection is one captured connection on its way through detection and routing to the driver of its protocol.
type connection struct {
	srv    *Server // immutable
	client drive.Client
	// parsing is what is needed as long as the connection is parsed; nil: it has become a tunnel.
	*parsing
	// tunnel carries on, outside transport.Conn.Pin, what is no longer parsed; nil: nothing.
	tunnel func()
}

// parsing is what a connection needs to be parsed. A tunnel keeps nothing of it.
type parsing struct {
	routes  route.Selector
	session h1.Session
	// http2 serves a connection that carries HTTP/2; nil: it does not.
	http2 *h2.Session
	// intercepted is the connection's TLS that has ended here; nil: it has not.
	intercepted *intercepted
}

// run carries the connection to its end. What is on the stack while a connection is idle is most of what it costs, so the functions
// that are there do little else.
func (c *connection) run(shed bool) {
	defer c.end()
	c.serve(shed)
	if c.tunnel != nil {
		c.client.Activity.BecomeTunnel()
		c.tunnel()
	}
}

// serve carries on the connection as long as it is parsed. Its descriptor is pinned meanwhile, except where an HTTP session waits.
func (c *connection) serve(shed bool) {
	if c.parsing == nil {
		c.prepare()
	}
	http := false
	_ = c.client.Conn.Pin(func() { http = c.begin(shed) }) // fails when the connection is closed already
	switch {
	case http && c.session.Serve():
		c.passOn(c.session.Prefix())
	case http:
		c.tunnel = c.session.Tunnel()
	case c.http2 != nil && c.http2.Serve():
		c.passOn(c.http2.Prefix())
	}
	c.session.Close()
	c.intercepted.served(&c.client, c.srv.closedAtOnce)
	c.parsing = nil
}

// prepare makes what parses the connection.
func (c *connection) prepare() {
	c.parsing = &parsing{}
	c.routes.Init(&c.client.Origin)
	c.session.Init(c.srv.h1, &c.client, &c.routes)
}

// begin finds out what the connection carries, and prepares it to be passed through if that is not HTTP/1.
func (c *connection) begin(shed bool) (http bool) {
	if shed {
		c.passThrough(PassedShed, nil, c.session.Buffered())
		return false
	}
	return c.identify()
}

// serveHTTP2 prepares the connection to be served as HTTP/2. The session that has read its beginning holds no memory any more.
func (c *connection) serveHTTP2() {
	c.routes.SpeakHTTP2()
	c.http2 = c.srv.h2.New(&c.client, &c.routes)
	c.http2.Preload(c.session.Buffered())
	c.session.Close()
}

// passOn prepares the connection to be passed through from the first request that no policy governs.
func (c *connection) passOn(prefix []byte) {
	_ = c.client.Conn.Pin(func() { c.passThrough(PassedUnmatched, nil, prefix) }) // fails when the connection is closed already
}

// end frees what the connection holds. It is deferred, and deals with a panic.
func (c *connection) end() {
	if recovered := recover(); recovered != nil {
		what, stack := panics.Cause(recovered)
		c.srv.events.Panicked(c.client.Pod, what, stack)
		c.client.Conn.ResetOnClose()
		if c.parsing != nil {
			c.session.ReleaseAfterPanic()
		}
	}
	c.srv.leave(c)
	_ = c.client.Conn.Close()
}
