package drive

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
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
	// Unsecured: connections are wanted as they are, whatever the policy says of TLS; see upstream.Request.
	Unsecured bool
	// ConnectTimeout bounds connecting where the policy does not; zero: nothing does.
	ConnectTimeout time.Duration
	// First is the first attempt if it was made before the call began; nil: it was not.
	First *FirstAttempt

	Now  time.Time // one reading of the clock serves a step of the call
	Call call.Call
	// Record has how the last attempt ended, or the call.
	Record
	// PlacedAt is when the attempt under way had its place in the pool.
	PlacedAt time.Time
	// Truncated: what was forwarded is not all there, see call.End.
	Truncated bool

	action call.Action // what the call said last
	// onFallback: attempts are made where the call falls back on
	onFallback bool

	lease   upstream.Lease   // for the attempt that it starts
	slot    upstream.Request // for a place in the pool
	granted chan struct{}    // receives when slot was parked and has been granted
	careful bool             // the request must not be sent twice
	answer  call.AttemptID   // the attempt whose response is forwarded
	timer   *time.Timer
	woken   chan struct{} // receives when a gate has woken the call

	report routes.Exchange
}

// Attempt is what belongs to one attempt whatever its protocol.
type Attempt struct {
	ID    call.AttemptID
	Lease upstream.Lease // zero: none held
	Start call.Start
	Began time.Time
}

// FirstAttempt is a connection made outside the pool to find out who speaks first.
type FirstAttempt struct {
	Peer netip.AddrPort
	Took time.Duration // to connect
}

// Protocol is what Run needs of a protocol's driver. The methods that return an action report to the call what has happened and
// return what the call decided.
type Protocol interface {
	// Attempt makes the attempt that an action starts on a connection, which it owns from now on, up to the head of a response or a
	// failure. l is zero if the attempt is on the connection of Exchange.First.
	Attempt(l upstream.Lease, id call.AttemptID, start call.Start) call.Action
	// Cancel gives up whatever is held of an attempt.
	Cancel(id call.AttemptID)

	// Forward forwards the response of an attempt, until a time that bounds the whole call (zero: none).
	Forward(id call.AttemptID, until time.Time)
	// Reject answers the request locally, as the call's outcome says.
	Reject()
	// Respond answers it with the policy's own response; see OwnAnswer.
	Respond()
	// Abort ends the call without an answer.
	Abort()

	Kept
}

// Kept is a response that is kept while another attempt is made, since it may be the last real one (rule 10).
type Kept interface {
	// DropKept gives it up, if there is one.
	DropKept()
	// KeptConn reports whether there is one that still occupies its connection.
	KeptConn() bool
	// CollectKept takes over what has arrived of it without waiting, and frees its connection when that is all.
	CollectKept()
	// KeptTooLarge reports whether its rest will not be taken over.
	KeptTooLarge() bool
}

// Init prepares x for its first call.
func (x *Exchange) Init() {
	x.granted = make(chan struct{}, 1)
	x.slot.Wake = func() { x.granted <- struct{}{} } // which there is room for: it is called once for a slot that was parked
	x.woken = make(chan struct{}, 1)
	x.Call.OnWake = func() {
		select {
		case x.woken <- struct{}{}:
		default:
		}
	}
}

// Reset makes x ready for another call.
func (x *Exchange) Reset() {
	x.Route, x.Plan = nil, nil
	x.Record.Reset()
	x.Truncated, x.onFallback = false, false
}

// AttemptRoute is the route of the attempts: the call's own, or the one that it falls back on.
func (x *Exchange) AttemptRoute() *routes.Route {
	if x.onFallback {
		return x.Plan.Backup
	}
	return x.Route
}

// KeepsAddress reports whether an attempt goes to the address that the client chose.
func (x *Exchange) KeepsAddress() bool { return x.Pinned && !x.onFallback }

// to is the address to connect to, as far as that is not the pool's to choose.
func (x *Exchange) to() netip.AddrPort {
	switch {
	case x.onFallback:
		return x.Plan.Backup.Address(x.Client.Original.Addr())
	case x.Unsecured:
		return x.Client.Original
	}
	return x.Route.Connects(x.Client.Original)
}

// Run begins the call and carries out its actions until it has ended and its answer is forwarded. The action is kept on x rather than on
// the stack, see h1.
func (x *Exchange) Run(p Protocol, r call.Request) {
	x.careful = r.Method == call.Unsafe
	x.action = x.Call.Begin(x.Now, &x.Plan.Plan, r)
	for !x.step(p) {
		x.action = p.Attempt(x.lease, x.action.Attempt, x.action.Start)
	}
	x.lease = upstream.Lease{}
}

// step does what the call says until an attempt can be made on x.lease, or reports that the call has ended.
func (x *Exchange) step(p Protocol) (ended bool) {
	for {
		a := x.action
		for id := range a.Cancel.All() {
			p.Cancel(id)
		}
		switch a.Do {
		case call.StartAttempt:
			var ok bool
			x.onFallback = a.Route != 0
			if x.lease, x.action, ok = x.start(p, a); ok {
				x.action = a
				return false
			}
		case call.Wait:
			x.action = x.wait(p, a)
		case call.Park:
			x.action = x.park(a)
		case call.Inject:
			x.action = x.Inject(x.Now, x.AttemptRoute().Recorder(), &x.Call, a)
		case call.Forward, call.ForwardKept:
			x.forward(p, a)
			return true
		case call.Reject:
			x.refused()
			p.Reject()
			return true
		case call.Respond:
			x.refused()
			p.Respond()
			return true
		case call.Abort, call.Continue, call.AwaitTrailers: // the last is for gRPC, which HTTP/1 does not carry
			p.Abort()
			return true
		}
	}
}

// refused notes which limit has refused the call, if one has.
func (x *Exchange) refused() {
	o := x.Call.Outcome()
	if why := x.Plan.Refusal(&o); why != routes.NoDetail {
		x.Detail = why
	}
}

// forward forwards the response that answers the call.
func (x *Exchange) forward(p Protocol, a call.Action) {
	x.answer = a.Attempt
	p.Forward(a.Attempt, a.Until)
	x.Call.Finished(x.Now, a.Attempt, call.End{Truncated: x.Truncated, ClientGone: x.Detail == routes.DetailClientLeft, GRPCStatus: -1})
}

// start gets a connection for an attempt; if ok is false there is none, and next says what follows. No attempt starts for a client
// that has gone (rule 4); the first one starts when the client has just spoken.
func (x *Exchange) start(p Protocol, a call.Action) (l upstream.Lease, next call.Action, ok bool) {
	if a.Start != call.First && x.Client.Left() {
		return l, x.Call.ClientGone(x.Now), false
	}
	if a.Start == call.First && x.First != nil {
		x.firstMade(a.Attempt)
		return l, call.Action{}, true
	}
	l, next = x.place(p, a)
	return l, next, l.Conn != nil
}

// firstMade takes the connection made before the call began for the call's first attempt.
func (x *Exchange) firstMade(id call.AttemptID) {
	x.Call.Placed(x.Now, id, x.First.Peer)
	x.Ended(x.Route.Recorder(), id, routes.Attempt{Kind: call.OK, Peer: x.First.Peer, Took: x.First.Took})
}

// wait waits at a gate or between attempts, and meanwhile takes over what there is of the kept response.
func (x *Exchange) wait(p Protocol, a call.Action) call.Action {
	if x.Sleep(a.Until, nil) == ClientLeft || x.Client.Left() {
		return x.clientLeft()
	}
	if p.KeptConn() {
		p.CollectKept()
	}
	return x.Call.Timer(x.Now)
}

// park waits at a gate until that wakes the call.
func (x *Exchange) park(a call.Action) call.Action {
	why := x.Sleep(a.Until, x.woken)
	switch {
	case why == ClientLeft || x.Client.Left():
		return x.clientLeft()
	case why == Woken:
		return x.Call.Woken(x.Now)
	}
	return x.Call.Timer(x.Now)
}

func (x *Exchange) clientLeft() call.Action {
	x.Detail = routes.DetailClientLeft
	return x.Call.ClientGone(x.Now)
}

// ReleaseAfterPanic gives back what others wait for: the place in the pool, and what the call holds of breakers and gates.
// Whatever goes wrong here went wrong before.
func (x *Exchange) ReleaseAfterPanic() {
	Try(func() {
		if x.Route != nil {
			x.cancelSlot()
		}
	})
	Try(func() {
		now := time.Now()
		x.Call.ClientGone(now)
		x.Call.Finished(now, x.answer, call.End{Truncated: true, ClientGone: true, GRPCStatus: -1})
	})
}

// Try calls f and ignores that it panics.
func Try(f func()) {
	defer func() { _ = recover() }()
	f()
}
