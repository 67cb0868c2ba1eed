package proxy

import (
	"context"
	"net"

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

// dialOriginal connects to where the client wanted to go. The wait is bounded whoever governs the connection: the client takes it
// for established already, so its own patience with connecting, after which it would try another address, does not count.
func (c *connection) dialOriginal(ctx context.Context) (*transport.Conn, error) {
	dialer := c.srv.store.Dialer(c.client.Pod)
	if dialer == nil {
		return nil, net.ErrClosed // the pod has just gone
	}
	settings := c.settings()
	limit := settings.Timeouts.Connect
	if limit <= 0 {
		limit = c.srv.defaults.Timeouts.Connect
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	k := transport.Connector{Dialer: dialer, KeepAlive: transport.KeepAlive(settings.Pool.KeepAlive)}
	return k.Connect(ctx, c.client.Original)
}

// passThrough has the connection carried to its end without being looked into.
func (c *connection) passThrough(why Passed) {
	c.client.Activity.Set(drive.Passing)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := drive.WatchClient(c.client.Left, cancel)
	server, err := c.dialOriginal(ctx)
	watch.Stop()
	if err != nil {
		c.unreachable(why)
		return
	}
	c.pass(why, server)
}

// unreachable tells the client that its server cannot be reached: L4 failures are resets (rule 26).
func (c *connection) unreachable(why Passed) {
	c.srv.events.Passed(why)
	c.client.Conn.ResetOnClose()
}

func (c *connection) pass(why Passed, server *transport.Conn) {
	c.client.Activity.Set(drive.Passing)
	c.srv.events.Passed(why)
	o := tunnel.Options{ToServer: c.prefix}
	var recorder routes.Recorder = routes.Silence{}
	if g := c.routes.Governing(); g != nil {
		recorder = g.Recorder()
		o.Idle = g.Base().Timeouts.Idle
	}
	var first int64 // bytes sent to the server here
	if len(c.prefix) > 0 && len(c.prefix) <= smallPrefix {
		// A new connection takes this much at once, so the buffer need not wait for the tunnel's end.
		if _, err := server.Write(c.prefix); err != nil {
			_ = server.Close()
			c.client.Conn.ResetOnClose()
			return
		}
		first = int64(len(c.prefix))
		o.ToServer, c.prefix = nil, nil
		c.session.FreeBuffer()
	}
	c.tunnel = func() {
		recorder.OpaqueOpened()
		end, _ := tunnel.Run(c.client.Conn, server, o) // an error means that one side is gone already
		recorder.OpaqueClosed(first+end.ToServer, end.ToClient)
	}
}
