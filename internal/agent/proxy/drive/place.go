package drive

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

const (
	// heldWait is how long a retry waits for the rest of a held response that occupies the place it needs, and heldStep how often it
	// looks whether that has come.
	heldWait = 100 * time.Millisecond
	heldStep = 10 * time.Millisecond
)

// place gets an attempt its connection. Without one, the action says what follows.
func (x *Exchange) place(p Protocol, a call.Action) (*upstream.Conn, call.Action) {
	t := &x.slot
	t.Original, t.Pinned, t.Fresh = x.Client.Original, x.Pinned, a.Fresh
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
	why := x.makeWay(p, until)
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

// makeWay sees to it that a held response does not occupy the place that the retry waits for: it is taken over if that is soon
// done, and given up otherwise. It returns TimeUp when that is settled, with the time not necessarily up.
func (x *Exchange) makeWay(p Held, until time.Time) Woke {
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
	if limit := x.Plan.Settings.Timeouts.Connect; limit > 0 {
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
	kind, why := upstream.FailureOf(err), DetailOf(err)
	switch {
	case kind == call.Internal:
		why = routes.DetailLocal
	case Passed(until, x.Now):
		kind, why = call.AttemptTimeout, DetailOfLimit(x.Call.Limit(a.Attempt))
	case kind == call.ConnectTimeout && why != routes.DetailNoAnswer:
		why = routes.DetailConnect
	}
	x.last = routes.Attempt{Kind: kind, Start: a.Start, Peer: x.slot.Peer(), Took: x.Now.Sub(began), Detail: why}
	x.reportLast()
	return nil, kind
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
