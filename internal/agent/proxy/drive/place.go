package drive

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

const (
	// heldWait is how long a retry waits for the rest of a held response whose connection it needs, and heldStep how often it checks.
	heldWait = 100 * time.Millisecond
	heldStep = 10 * time.Millisecond
)

// place gets an attempt its connection. Without one, the action says what follows.
func (x *Exchange) place(p Protocol, a call.Action) (*upstream.Conn, call.Action) {
	t := &x.slot
	t.Original, t.Pinned, t.Fresh = x.Client.Original, x.Pinned, a.Fresh || x.Fresh
	t.Careful, t.Client = x.careful, x.Client.ID
	t.Avoid = nil
	if a.Avoid {
		t.Avoid = x.Call.Endpoints()
	}
	pool := x.Route.Pool
	switch pool.Acquire(t) {
	case upstream.Granted:
	case upstream.Overflow:
		x.Detail = routes.DetailQueueFull
		return nil, x.Call.LocalReject(x.Now, a.Attempt, call.Overflow)
	case upstream.Queued:
		if next, ok := x.queue(p, a); !ok {
			return nil, next
		}
	}
	x.PlacedAt = x.Now
	if c := pool.Redeem(t, x.Now); c != nil {
		x.Call.Placed(x.Now, a.Attempt, c.Peer())
		return c, call.Action{}
	}
	placed := x.Call.Placed(x.Now, a.Attempt, t.Peer())
	c, kind := x.dial(a, placed.Until)
	if c == nil {
		return nil, x.dialFailed(a.Attempt, kind)
	}
	return c, call.Action{}
}

// queue waits for a place in the pool (rule 25).
func (x *Exchange) queue(p Held, a call.Action) (next call.Action, ok bool) {
	pool, until := x.Route.Pool, a.Until
	if limit := x.Plan.Settings.Pool.PendingTimeout; limit > 0 {
		until = Earlier(until, x.Now.Add(limit))
	}
	why := x.freeHeldConn(p, until)
	if why == TimeUp {
		why = x.Sleep(until, x.slot.Ready())
	}
	if why == TimeUp && pool.CancelQueued(&x.slot) {
		why = Woken // in the last moment: the place is ours
	}
	switch {
	case why == Woken && !x.Client.Left():
		return call.Action{}, true
	case why != TimeUp:
		pool.Cancel(&x.slot)
		return x.Call.ClientGone(x.Now), false
	}
	if Passed(a.Until, x.Now) {
		x.Detail = DetailOfLimit(x.Call.Limit(a.Attempt))
		return x.Call.Timer(x.Now), false
	}
	x.Detail = routes.DetailQueueTimeout
	return x.Call.LocalReject(x.Now, a.Attempt, call.Overflow), false
}

// freeHeldConn ensures that a held response does not occupy the connection that the retry waits for: the response is read to its end
// if that takes no longer than heldWait, and given up otherwise. It returns TimeUp when no held response occupies a connection any
// more, before until or at it.
func (x *Exchange) freeHeldConn(p Held, until time.Time) Woke {
	patience := x.Now.Add(heldWait)
	for p.HeldConn() {
		p.CollectHeld()
		switch {
		case !p.HeldConn():
		case p.HeldTooLarge() || Passed(patience, x.Now) || Passed(until, x.Now):
			p.DropHeld()
			x.Call.KeptLost()
		default:
			if why := x.Sleep(Earlier(until, x.Now.Add(heldStep)), x.slot.Ready()); why != TimeUp {
				return why
			}
		}
	}
	return TimeUp
}

// dial makes a new connection. Without one, the kind says why.
func (x *Exchange) dial(a call.Action, until time.Time) (*upstream.Conn, call.Kind) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := until
	limit := x.Plan.Settings.Timeouts.Connect
	if limit <= 0 {
		limit = x.ConnectTimeout
	}
	if limit > 0 {
		end = Earlier(end, x.Now.Add(limit))
	}
	if !end.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	watch := WatchClient(x.Client.Left, cancel)
	began := x.Now
	c, err := x.Route.Pool.Dial(ctx, &x.slot)
	watch.Stop()
	x.Now = time.Now()
	switch {
	case err == nil:
		return c, call.OK
	case watch.Left():
		return nil, call.ClientGone
	}
	kind, why := failureOf(err)
	if kind != call.Internal && Passed(until, x.Now) {
		kind, why = call.AttemptTimeout, DetailOfLimit(x.Call.Limit(a.Attempt))
	}
	x.last = routes.Attempt{Kind: kind, Start: a.Start, Peer: x.slot.Peer(), Took: x.Now.Sub(began), Detail: why}
	x.reportLast()
	return nil, kind
}

// failureOf says what a dial's error means.
func failureOf(err error) (call.Kind, routes.Detail) {
	kind, why := upstream.FailureOf(err), DetailOf(err)
	switch {
	case kind == call.Internal:
		why = routes.DetailLocal
	case kind == call.ConnectTimeout && why != routes.DetailNoAnswer:
		why = routes.DetailConnect
	}
	return kind, why
}

func (x *Exchange) dialFailed(id call.AttemptID, kind call.Kind) call.Action {
	switch kind {
	case call.ClientGone:
		return x.clientLeft()
	case call.Internal:
		return x.Call.LocalReject(x.Now, id, call.Internal)
	default:
		return x.Call.AttemptFailed(x.Now, id, call.Failure{Kind: kind})
	}
}
