package drive

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Exchange is one call on its way, as far as its protocol does not matter. The exchange of a protocol's driver embeds it and reuses
// it from call to call; the zero value needs Init.
type Exchange struct {
	// the driver sets these before Run

	Client *Client
	Route  *routes.Route
	Pinned bool // the call goes to the address that the client chose
	Plan   *routes.Plan
	// Fresh: every attempt needs a connection of its own.
	Fresh bool
	// ConnectTimeout bounds connecting where the policy does not; zero: nothing does.
	ConnectTimeout time.Duration
	// First is the first attempt if it was made before the call began; nil: it was not.
	First *FirstAttempt

	Now  time.Time // one reading of the clock serves a step of the call
	Call call.Call
	// Detail says how the last attempt ended, or the call.
	Detail routes.Detail
	// DispatchedAt is when the attempt under way had its place in the pool.
	DispatchedAt time.Time
	// Truncated: what was forwarded is not all there, see routes.Exchange.
	Truncated bool

	slot    upstream.Request // for a place in the pool
	careful bool             // the request must not be sent twice
	avoid   []netip.AddrPort // endpoints that attempts have gone to
	timer   *time.Timer

	report routes.Exchange
	last   routes.Attempt
	past   []routes.Attempt // those of the call that have ended
}

// Attempt is what belongs to one attempt whatever its protocol.
type Attempt struct {
	Conn  *upstream.Conn // nil: none held
	Start call.Start
	Began time.Time
}

// FirstAttempt is a connection to the original destination, made outside the pool to find out who speaks first.
type FirstAttempt struct {
	Took time.Duration // to connect
}

// Protocol is what Run needs of a protocol's driver. The methods that return an action report to the call what has happened and
// return what the call decided.
type Protocol interface {
	// Attempt makes an attempt on a connection, which it owns from now on, up to the head of a response or a failure. c is nil if the
	// attempt is on the connection of Exchange.First.
	Attempt(c *upstream.Conn, start call.Start) call.Action
	// DropAttempt gives up the attempt under way, if there is one.
	DropAttempt()

	// ForwardResponse forwards the response of the attempt under way, until a time that bounds the whole call (zero: none).
	ForwardResponse(until time.Time)
	// Reject answers the request locally.
	Reject()
	// Abort ends the call without an answer.
	Abort()

	Held
}

// Held is a response that is held while another attempt is made, since it may be the last real one (rule 10).
type Held interface {
	// ForwardHeld forwards it as ForwardResponse does.
	ForwardHeld(until time.Time)
	// DropHeld gives it up, if there is one.
	DropHeld()
	// HeldConn reports whether there is one that still occupies its connection.
	HeldConn() bool
	// CollectHeld takes over what has arrived of it without waiting, and frees its connection when that is all.
	CollectHeld()
	// HeldTooLarge reports whether its rest will not be taken over.
	HeldTooLarge() bool
}

// Init prepares x for its first call.
func (x *Exchange) Init() { x.slot.Init() }

// Reset makes x ready for another call.
func (x *Exchange) Reset() {
	x.Route, x.Plan = nil, nil
	x.avoid = x.avoid[:0]
	x.past, x.Detail = x.past[:0], routes.NoDetail
}

// Key says what the policy wants of an idempotency key (rule 16): keyed, that the request counts as one that has one; generate, that
// one is to be added. A key counts if it is forwarded and not empty; one is added to requests that lack it, except to those
// with safe methods, and to CONNECT, which has no result that a server could store under a key.
func (x *Exchange) Key(v route.View, class call.Method, connect bool) (keyed, generate bool) {
	retry := &x.Plan.Settings.Retry
	if class == call.Safe || class != call.Unsafe && !retry.GenerateKey || x.Plan.KeyHeader == "" {
		return false, false
	}
	_, keyed = v.Header(x.Plan.KeyHeader)
	if !keyed && retry.GenerateKey && !connect {
		return true, true
	}
	return keyed, false
}

// Run begins the call and does what it says until it has ended and its answer is forwarded.
func (x *Exchange) Run(p Protocol, r call.Request) {
	x.careful = r.Method == call.Unsafe
	a := x.Call.Begin(x.Now, x.Plan.Plan, r)
	for {
		if a.Cancel {
			p.DropAttempt()
		}
		switch a.Do {
		case call.StartTry:
			a = x.attempt(p, a)
		case call.Wait:
			a = x.wait(p, a)
		case call.Forward:
			p.DropHeld()
			p.ForwardResponse(a.Until)
			return
		case call.ForwardKept:
			p.ForwardHeld(a.Until)
			return
		case call.Reject:
			p.DropHeld()
			p.Reject()
			return
		case call.Abort, call.Continue:
			p.DropAttempt()
			p.DropHeld()
			p.Abort()
			return
		}
	}
}

// attempt gets a connection and has the attempt made. None starts for a client that has gone (rule 4); the first one starts when
// the client has just spoken.
func (x *Exchange) attempt(p Protocol, a call.Action) call.Action {
	if a.Start != call.First && x.Client.Left() {
		return x.Call.ClientGone(x.Now)
	}
	if a.Start == call.First && x.First != nil {
		return x.firstMade(p)
	}
	c, next := x.place(p, a)
	if c == nil {
		return next
	}
	return p.Attempt(c, a.Start)
}

// firstMade takes the connection made before the call began for the call's first attempt.
func (x *Exchange) firstMade(p Protocol) call.Action {
	x.Call.Dispatched(x.Now)
	x.last = routes.Attempt{Kind: call.OK, Peer: x.Client.Original, Took: x.First.Took}
	x.reportLast()
	return p.Attempt(nil, call.First)
}

// wait waits between attempts, and meanwhile takes over what there is of the held response.
func (x *Exchange) wait(p Protocol, a call.Action) call.Action {
	if x.Sleep(a.Until, nil) == ClientLeft || x.Client.Left() {
		x.Detail = routes.DetailClientLeft
		return x.Call.ClientGone(x.Now)
	}
	if p.HeldConn() {
		p.CollectHeld()
	}
	return x.Call.Timer(x.Now)
}

// Salvage gives back what others wait for, after a panic: the place in the pool and the breaker's permit. Whatever goes wrong here
// went wrong before.
func (x *Exchange) Salvage() {
	Try(func() {
		if x.Route != nil {
			x.Route.Pool.Cancel(&x.slot)
		}
	})
	Try(func() { x.Call.ClientGone(time.Now()) })
}

// Try calls f and ignores that it panics.
func Try(f func()) {
	defer func() { _ = recover() }()
	f()
}
