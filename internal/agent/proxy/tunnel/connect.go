package tunnel

import (
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Connector connects what is passed through under a policy: the connection is one call, which has its answer when the server is
// connected to.
type Connector struct {
	// ConnectTimeout bounds connecting where the policy does not: to the client the connection is established already.
	ConnectTimeout time.Duration

	exchanges sync.Pool
}

// Request is one connection that is to be made.
type Request struct {
	Client *drive.Client
	Route  *routes.Route
	// Pinned: it goes to the address that the client chose.
	Pinned bool
	// First is a connection to that address that was made outside the pool, to find out who speaks first. It is the call's first
	// attempt; nil: there is none.
	First *ServerConn
	// Name is that of the server, where the client gives it without a request.
	Name string
}

// ServerConn is a connection to a server.
type ServerConn struct {
	Conn *transport.Conn
	Peer netip.AddrPort // that Conn was connected to, if that was outside the pool
	Took time.Duration  // to connect
	// Until is when the policy ends the connection; zero: never.
	Until time.Time

	lease upstream.Lease // of Conn in the pool, where it takes a place; zero: it does not
}

// Close closes the connection, and gives its place back. s may be nil.
func (s *ServerConn) Close() {
	switch {
	case s == nil:
	case s.lease.Conn != nil:
		s.lease.Release(time.Now(), false)
	default:
		_ = s.Conn.Close()
	}
}

// Connect makes the connection as the policy says. It returns nil when there is none to be had: then the client is to be reset.
// It takes ownership of r.First.
func (c *Connector) Connect(r Request) *ServerConn {
	x, _ := c.exchanges.Get().(*exchange)
	if x == nil {
		x = &exchange{}
		x.Init()
		x.Fresh, x.Unsecured, x.ConnectTimeout = true, true, c.ConnectTimeout
	}
	ended := false
	defer func() {
		if !ended { // a panic
			x.releaseAfterPanic()
		}
	}()
	x.begin(&r)
	started := x.Now
	q := &noRequest{[]byte(r.Name)}
	x.Watch(q, false)
	// No byte of the client's goes out before there is a connection, so that an attempt that failed has sent nothing.
	x.Run(x, call.Request{Method: call.Unsafe})
	x.Report(q, started)
	made := x.server
	x.end()
	ended = true
	c.exchanges.Put(x)
	return made
}

// exchange is the call of one connection. It implements drive.Protocol.
type exchange struct {
	drive.Exchange

	server *ServerConn // nil: not connected
	first  *ServerConn // see Request.First
}

var _ drive.Protocol = (*exchange)(nil)

func (x *exchange) begin(r *Request) {
	x.Reset()
	x.Client, x.Route, x.Pinned, x.first = r.Client, r.Route, r.Pinned, r.First
	if r.First != nil {
		x.First = &drive.FirstAttempt{Peer: r.First.Peer, Took: r.First.Took}
	}
	x.Plan = r.Route.OpaquePlan()
	x.Now = time.Now()
}

// end makes x hold nothing of its request.
func (x *exchange) end() {
	x.Reset()
	x.Client, x.First, x.server, x.first = nil, nil, nil, nil
}

// releaseAfterPanic gives back what others wait for. x is not used again.
func (x *exchange) releaseAfterPanic() {
	drive.Try(x.Abort)
	x.ReleaseAfterPanic()
}

// Attempt implements drive.Protocol: a connection is all that is attempted.
func (x *exchange) Attempt(l upstream.Lease, id call.AttemptID, start call.Start) call.Action {
	if l.Conn == nil {
		x.server = x.first
	} else {
		x.first.Close() // a fault stood in for the attempt that it was for
		x.first = nil
		x.server = &ServerConn{Conn: l.Conn.Conn, lease: l}
		x.Attempted(&drive.Attempt{Lease: l, ID: id, Start: start, Began: x.PlacedAt}, call.OK, 0, routes.NoDetail)
	}
	return x.Call.ResponseHead(x.Now, id, call.Response{GRPCStatus: -1})
}

// Cancel implements drive.Protocol.
func (x *exchange) Cancel(call.AttemptID) {
	x.server.Close()
	x.server = nil
}

// Forward implements drive.Protocol.
func (x *exchange) Forward(_ call.AttemptID, until time.Time) { x.server.Until = until }

// Reject implements drive.Protocol.
func (x *exchange) Reject() { x.Abort() }

// Respond implements drive.Protocol: there is nothing that could be answered.
func (x *exchange) Respond() { x.Abort() }

// Abort implements drive.Protocol.
func (x *exchange) Abort() {
	x.server.Close()
	x.server = nil
	x.first.Close()
}

// DropKept implements drive.Kept: there are no responses.
func (x *exchange) DropKept() {}

// KeptConn implements drive.Kept.
func (x *exchange) KeptConn() bool { return false }

// CollectKept implements drive.Kept.
func (x *exchange) CollectKept() {}

// KeptTooLarge implements drive.Kept.
func (x *exchange) KeptTooLarge() bool { return false }

// noRequest is the route.View of a connection without requests.
type noRequest struct{ name []byte }

// Method implements route.View.
func (noRequest) Method() []byte { return nil }

// Host implements route.View.
func (r noRequest) Host() []byte { return r.name }

// Target implements route.View.
func (noRequest) Target() []byte { return nil }

// AnyHeader implements route.View.
func (noRequest) AnyHeader(string, interface{ Fits(text []byte) bool }) bool { return false }

// Header implements route.View.
func (noRequest) Header(string) (value []byte, ok bool) { return nil, false }
