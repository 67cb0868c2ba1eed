package tunnel

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Connector connects what is passed through under a policy: the connection is one call, which has its answer when the server is
// connected to. The zero value is ready for use.
type Connector struct {
	exchanges sync.Pool
}

// Request is one connection that is to be made.
type Request struct {
	Client *drive.Client
	Route  *routes.Route
	// Pinned: it goes to the address that the client chose.
	Pinned bool
	// First is the first attempt if it was made before the call began; nil: it was not.
	First *drive.FirstAttempt
}

// Connected is what a connection needs once its server is connected to.
type Connected struct {
	// Conn is the connection to the server, which is the caller's to release; nil: it is the one of Request.First.
	Conn *upstream.Conn
	// Until is when the policy ends the connection; zero: never.
	Until time.Time
}

// Connect makes the connection as the policy says, or reports false: then the client is to be reset. Nothing is kept of the request.
func (c *Connector) Connect(r Request) (made Connected, ok bool) {
	x, _ := c.exchanges.Get().(*exchange)
	if x == nil {
		x = &exchange{}
		x.Init()
		x.Fresh = true
	}
	defer x.salvage()
	x.begin(&r)
	started := x.Now
	// No byte of the client's goes out before there is a connection, so that an attempt that failed has sent nothing.
	x.Run(x, call.Request{Method: call.Unsafe})
	x.Report(noRequest{}, started)
	made, ok = Connected{Conn: x.conn, Until: x.until}, x.connected
	x.end()
	c.exchanges.Put(x)
	return made, ok
}

// exchange is the call of one connection. It implements drive.Protocol.
type exchange struct {
	drive.Exchange

	conn      *upstream.Conn
	connected bool
	until     time.Time
	running   bool
}

var _ drive.Protocol = (*exchange)(nil)

func (x *exchange) begin(r *Request) {
	x.Reset()
	x.Client, x.Route, x.Pinned, x.First = r.Client, r.Route, r.Pinned, r.First
	x.Plan = r.Route.BasePlan()
	x.Now = time.Now()
	x.connected, x.until, x.running = false, time.Time{}, true
}

// end makes x hold nothing of its request.
func (x *exchange) end() {
	x.Reset()
	x.Client, x.First, x.conn, x.running = nil, nil, nil, false
}

// salvage gives back what others wait for, after a panic; it does nothing after end.
func (x *exchange) salvage() {
	if x.running {
		drive.Try(x.DropAttempt)
		x.Salvage()
	}
}

// Attempt implements drive.Protocol: a connection is all that is attempted.
func (x *exchange) Attempt(c *upstream.Conn, start call.Start) call.Action {
	x.conn = c
	if c != nil {
		x.Attempted(&drive.Attempt{Conn: c, Start: start, Began: x.DispatchedAt}, call.OK, 0, routes.NoDetail)
	}
	return x.Call.ResponseHead(x.Now, call.Response{GRPCStatus: -1})
}

// DropAttempt implements drive.Protocol.
func (x *exchange) DropAttempt() {
	if c := x.conn; c != nil {
		x.conn = nil
		c.Release(false, x.Now)
	}
}

// ForwardResponse implements drive.Protocol.
func (x *exchange) ForwardResponse(until time.Time) { x.connected, x.until = true, until }

// Reject implements drive.Protocol.
func (x *exchange) Reject() {}

// Abort implements drive.Protocol.
func (x *exchange) Abort() {}

// ForwardHeld implements drive.Held: there are no responses.
func (x *exchange) ForwardHeld(time.Time) {}

// DropHeld implements drive.Held.
func (x *exchange) DropHeld() {}

// HeldConn implements drive.Held.
func (x *exchange) HeldConn() bool { return false }

// CollectHeld implements drive.Held.
func (x *exchange) CollectHeld() {}

// HeldTooLarge implements drive.Held.
func (x *exchange) HeldTooLarge() bool { return false }

// noRequest is the route.View of a connection without requests.
type noRequest struct{}

// Method implements route.View.
func (noRequest) Method() []byte { return nil }

// Host implements route.View.
func (noRequest) Host() []byte { return nil }

// Target implements route.View.
func (noRequest) Target() []byte { return nil }

// Header implements route.View.
func (noRequest) Header(string) (value []byte, ok bool) { return nil, false }
