package h1

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// While a call is hedged (rule 17) several of its attempts are under way. Each is carried up to the head of its response by a goroutine of its own, to which
// it belongs meanwhile (contender); the session's goroutine waits for whichever comes first, decides, and watches the client and the time.

// hedgeDue has another attempt started, if it is still wanted. done says that there is an action for what follows. One that is being sent is the only one.
func (x *exchange) hedgeDue() (next call.Action, done bool) {
	if t := x.cur; t.streaming || t.in.before != nil {
		return call.Action{}, false
	}
	x.reportBody()
	if a := x.Call.Timer(x.Now); a.Do != call.Continue {
		return x.race(a), true
	}
	return call.Action{}, false
}

// race carries the call on from the action that starts a hedge, until something is decided that does not concern several attempts.
func (x *exchange) race(a call.Action) call.Action {
	if x.arrived == nil {
		x.arrived = make(chan struct{}, 1)
	}
	x.contend(x.cur, nil, false)
	for {
		switch {
		case a.Do == call.StartAttempt && x.Call.Beside(a.Attempt):
			a = x.startHedge(a)
		case a.Do == call.Inject:
			a = x.Inject(x.Now, x.AttemptRoute().Recorder(), &x.Call, a)
		case a.Do == call.Continue:
			x.cancelAll(a.Cancel)
			a = x.awaitAny(a.Until)
		default:
			return a
		}
	}
}

// startHedge starts an attempt beside those under way.
func (x *exchange) startHedge(a call.Action) call.Action {
	t := x.spareAttempt()
	if t.slot == nil {
		t.slot = &upstream.Request{}
	}
	l, dial, ok := x.AcquireBeside(t.slot, a)
	if !ok {
		return x.Call.Unplaced(x.Now, a.Attempt)
	}
	drive.HoldPermit(&x.Call, a.Attempt, x.Route.Pool, t.slot)
	next := x.Call.Placed(x.Now, a.Attempt, t.slot.Host().Addr())
	drive.ObserveChosen(&x.Call, x.Now, a.Attempt, t.slot, l)
	t.reset(a.Attempt, a.Start)
	var d *drive.Dialling
	if dial {
		d = x.DialBeside(t.slot)
	} else {
		t.hold(l)
	}
	x.contend(t, d, true)
	return next
}

// awaitAny waits until an attempt has got somewhere, until a time or until the client leaves, and returns what the call decides.
func (x *exchange) awaitAny(until time.Time) call.Action {
	for {
		for t := range x.all {
			if t.beside.hasArrived() {
				return x.cameIn(t)
			}
			if t.beside.justSent() {
				return x.Call.RequestWritten(t.beside.sentAt, t.ID)
			}
		}
		switch x.Sleep(until, x.arrived) {
		case drive.Woken:
		case drive.ClientLeft:
			x.Detail = routes.DetailClientLeft
			return x.Call.ClientGone(x.Now)
		case drive.TimeUp:
			return x.timeUp()
		}
	}
}

// timeUp ends an attempt that is overdue, or has another one started.
func (x *exchange) timeUp() call.Action {
	for t := range x.all {
		if t.beside != nil && drive.Passed(x.Call.AttemptDeadline(t.ID), x.Now) {
			return x.overdueBeside(t)
		}
	}
	return x.Call.Timer(x.Now)
}

// overdueBeside ends an attempt that belongs to a goroutine of its own because a deadline of the call's has passed. It may have no connection yet.
func (x *exchange) overdueBeside(t *attempt) call.Action {
	t.halt()
	x.cur = t
	if t.Lease.Conn != nil {
		return x.attemptTimeout()
	}
	x.Ended(x.AttemptRoute().Recorder(), t.ID, routes.Attempt{
		Kind: call.AttemptTimeout, Start: t.Start, Peer: t.slot.Host().Addr(), Took: x.Now.Sub(t.Began),
		Detail: drive.DetailOfLimit(x.Call.Limit(t.ID)),
	})
	return x.Call.AttemptFailed(x.Now, t.ID, call.Failure{Kind: call.AttemptTimeout})
}

// cameIn reports to the call what an attempt has come to.
func (x *exchange) cameIn(t *attempt) call.Action {
	c := t.beside
	t.join()
	x.Now, x.cur = time.Now(), t
	if c.dial != nil {
		drive.HoldPermit(&x.Call, t.ID, c.dial.Pool, c.dial.Request)
	}
	if c.dial != nil && c.dialErr == nil {
		x.Call.Reached(t.ID, t.Lease.Peer())
		drive.ObserveConnected(&x.Call, x.Now, t.ID, t.slot, drive.Made{Lease: t.Lease, Took: x.Now.Sub(t.Began)})
	}
	switch {
	case c.dialErr != nil:
		u := drive.Unmade{Action: call.Action{Attempt: t.ID, Start: t.Start}, Err: c.dialErr, Until: x.Call.AttemptDeadline(t.ID), Peer: t.slot.Host().Addr(), Took: x.Now.Sub(t.Began)}
		return x.NotMade(x.Now, x.AttemptRoute().Recorder(), &x.Call, u)
	case t.err != nil:
		return x.failed(call.Reset, drive.DetailOf(t.err))
	case c.headErr == nil && t.response.Interim():
		return x.interimOf(t)
	case c.headErr == nil:
		return x.finalOf(t)
	case errors.Is(c.headErr, os.ErrDeadlineExceeded):
		return x.failed(call.AttemptTimeout, routes.DetailIdle)
	case errors.Is(c.headErr, errInterims):
		return x.failed(call.BadResponse, routes.DetailInterim)
	}
	return x.failed(kindOf(c.headErr))
}

// interimOf forwards a 1xx response, which decides between the attempts.
func (x *exchange) interimOf(t *attempt) call.Action {
	if next, done := x.interim(); done {
		return next
	}
	if x.alone(t) {
		x.pinTo(t.Lease.Conn.Conn)
		t.until = x.Call.AttemptDeadline(t.ID)
		return x.awaitHead()
	}
	x.contend(t, nil, false) // the client's version knows none: it was not forwarded
	return call.Action{Do: call.Continue, Until: x.Call.NextAt()}
}

// finalOf reports a final response.
func (x *exchange) finalOf(t *attempt) call.Action {
	a := x.responseHead()
	if a.Do == call.Forward {
		x.pinTo(t.Lease.Conn.Conn)
	}
	return a
}

// alone reports whether nothing else is under way.
func (x *exchange) alone(t *attempt) bool {
	for other := range x.all {
		if other != t && other.beside != nil {
			return false
		}
	}
	return true
}

// cancelAll gives up attempts.
func (x *exchange) cancelAll(set call.AttemptSet) {
	for id := range set.All() {
		x.Cancel(id)
	}
}

// all are the attempts of the exchange, most of which hold nothing.
func (x *exchange) all(yield func(*attempt) bool) {
	for i := range x.attempts {
		if !yield(&x.attempts[i]) {
			return
		}
	}
	for _, t := range x.more {
		if !yield(t) {
			return
		}
	}
}

// spareAttempt returns one that holds nothing.
func (x *exchange) spareAttempt() *attempt {
	for t := range x.all {
		if t != x.kept && t.beside == nil && t.in == nil {
			return t
		}
	}
	t := &attempt{}
	x.initAttempt(t)
	x.more = append(x.more, t)
	return t
}

var errInterims = errors.New("proxy: too many interim responses")

// sendAgain sends the request, which is in memory as a whole, beside another attempt that has sent it.
func (t *attempt) sendAgain() error {
	x, u := t.x, &t.x.upload
	_, err := x.request.WriteRequest(t, t.forward, u.first)
	for i := 0; err == nil && i < u.replay.Pieces(); i++ {
		_, err = t.Write(u.replay.Piece(i))
	}
	t.complete = err == nil
	return err
}

// readHeadBeside reads the head of the next response that matters.
func (t *attempt) readHeadBeside(c *contender) error {
	for !c.stopped.Load() {
		now := time.Now()
		t.in.bound(now, drive.Earlier(t.x.idleEndAt(t, now), now.Add(drive.MaxCheck))) // a read whose time is up finds out that its peer has vanished
		err := t.in.reader.ReadResponse(&t.response, c.info)
		switch {
		case err == nil && t.response.Status == 100:
			t.in.reader.Finish()
			if t.interims++; t.interims > MaxInterim {
				return errInterims
			}
		case err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || drive.Passed(t.x.idleEndAt(t, time.Now()), time.Now()):
			return err
		}
	}
	return transport.ErrInterrupted
}
