package drive

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

const (
	// keptWait is how long a retry waits for the rest of a kept response whose connection it needs, and keptStep how often it checks.
	keptWait = 100 * time.Millisecond
	keptStep = 10 * time.Millisecond
)

// Ask fills in what a pool is asked for the connection of an attempt, as far as that depends on the attempt. to is the address that is connected
// to where the request is pinned.
func Ask(r *upstream.Request, a call.Action, c *call.Call, to netip.AddrPort, pinned bool) {
	r.Original, r.Pinned, r.Fresh, r.Avoid, r.Endpoints = to, pinned, a.Fresh, nil, c.EndpointJudge()
	if a.Avoid {
		r.Avoid = c.Endpoints()
	}
	if r.Choice = nil; c.Observer != nil {
		r.Choice = &upstream.Choice{}
	}
}

// HoldPermit has an attempt hold the permit of the endpoint that its request was granted.
func HoldPermit(c *call.Call, id call.AttemptID, p *upstream.Pool, r *upstream.Request) {
	if b, permit, chosen := p.TakePermit(r); chosen {
		c.Hold(id, b, permit)
	}
}

// place gets an attempt its connection. Without one (the lease is zero), the action says what follows.
func (x *Exchange) place(p Protocol, a call.Action) (upstream.Lease, call.Action) {
	if next, ok := x.find(a); !ok {
		return upstream.Lease{}, next
	}
	t := &x.slot
	Ask(t, a, &x.Call, x.to(), x.KeepsAddress())
	t.Fresh, t.Unsecured, t.Careful, t.Client = a.Fresh || x.Fresh, x.Unsecured, x.careful, x.Client.ID
	pool := x.AttemptRoute().Pool
	answer, l := pool.Acquire(x.Now, t)
	switch answer {
	case upstream.Ready, upstream.Dial:
	case upstream.Overflow:
		if a.Start == call.Hedged {
			return upstream.Lease{}, x.Call.Unplaced(x.Now, a.Attempt)
		}
		x.Detail = routes.DetailQueueFull
		return upstream.Lease{}, x.Call.LocalReject(x.Now, a.Attempt, call.Overflow)
	case upstream.Parked:
		if a.Start == call.Hedged { // which waits for no place
			x.cancelSlot()
			return upstream.Lease{}, x.Call.Unplaced(x.Now, a.Attempt)
		}
		ObserveQueued(&x.Call, x.Now, a.Attempt)
		if next, ok := x.queue(p, a); !ok {
			return upstream.Lease{}, next
		}
		answer, l = pool.Redeem(x.Now, t)
	case upstream.Joined, upstream.Failed: // which are for multiplexed requests
	}
	placed := x.placed(a, pool, l)
	if answer == upstream.Ready {
		return l, call.Action{}
	}
	until := placed.Until
	if x.Plan.Hedge.Max > 0 { // which may be before the attempt's time is up
		until = x.Call.AttemptDeadline(a.Attempt)
	}
	return x.dial(a, until)
}

// placed reports that an attempt has its place, on a connection or, if l is zero, for a new one.
func (x *Exchange) placed(a call.Action, pool *upstream.Pool, l upstream.Lease) call.Action {
	t := &x.slot
	x.PlacedAt = x.Now
	HoldPermit(&x.Call, a.Attempt, pool, t)
	placed := x.Call.Placed(x.Now, a.Attempt, t.Host().Addr())
	ObserveChosen(&x.Call, x.Now, a.Attempt, t, l)
	return placed
}

// AcquireBeside gets a connection for a hedge, without waiting: a request of its own asks for it. dial: a new one has to be made. ok is false if there is no
// place, for which no hedge waits.
func (x *Exchange) AcquireBeside(r *upstream.Request, a call.Action) (l upstream.Lease, dial, ok bool) {
	if x.Route.ByName() && !x.Route.HasAddress() {
		return l, false, false
	}
	Ask(r, a, &x.Call, x.to(), x.Pinned)
	r.Unsecured, r.Careful, r.Client, r.Wake = x.Unsecured, x.careful, x.Client.ID, func() {}
	switch answer, l := x.Route.Pool.Acquire(x.Now, r); answer {
	case upstream.Ready:
		return l, false, true
	case upstream.Dial:
		return l, true, true
	case upstream.Parked:
		x.Route.Pool.Cancel(x.Now, r)
	case upstream.Overflow, upstream.Joined, upstream.Failed: // the last two are for multiplexed requests
	}
	return l, false, false
}

// DialBeside describes the making of the connection of a hedge.
func (x *Exchange) DialBeside(r *upstream.Request) *Dialling {
	return &Dialling{
		Request: r, Pool: x.Route.Pool, Route: x.Route, Plan: x.Plan, Secured: x.Route.Secured() && !x.Unsecured,
		Client: x.Client, ConnectTimeout: x.ConnectTimeout, Now: x.Now,
	}
}

// queue waits for a place in the pool (rule 25).
func (x *Exchange) queue(p Kept, a call.Action) (next call.Action, ok bool) {
	pool, until := x.AttemptRoute().Pool, a.Until
	if limit := x.Plan.Settings.Pool.PendingTimeout; limit > 0 {
		until = Earlier(until, x.Now.Add(limit))
	}
	why := x.freeKeptConn(p, until)
	if why == TimeUp {
		why = x.Sleep(until, x.granted)
	}
	if why == TimeUp && pool.CancelParked(&x.slot) {
		why = Woken // in the last moment: the place is ours
		<-x.granted
	}
	switch {
	case why == Woken && !x.Client.Left():
		return call.Action{}, true
	case why != TimeUp:
		x.cancelSlot()
		return x.Call.ClientGone(x.Now), false
	}
	if Passed(a.Until, x.Now) {
		x.Detail = DetailOfLimit(x.Call.Limit(a.Attempt))
		return x.Call.Timer(x.Now), false
	}
	x.Detail = routes.DetailQueueTimeout
	return x.Call.LocalReject(x.Now, a.Attempt, call.Overflow), false
}

// cancelSlot gives up the request for a place, whether it has been granted or not.
func (x *Exchange) cancelSlot() {
	x.AttemptRoute().Pool.Cancel(x.Now, &x.slot)
	select {
	case <-x.granted:
	default:
	}
}

// freeKeptConn ensures that a kept response does not occupy the connection that the retry waits for: the response is read to its end
// if that takes no longer than keptWait, and given up otherwise. It returns TimeUp when no kept response occupies a connection any
// more, before until or at it.
func (x *Exchange) freeKeptConn(p Kept, until time.Time) Woke {
	patience := x.Now.Add(keptWait)
	for p.KeptConn() {
		p.CollectKept()
		switch {
		case !p.KeptConn():
		case p.KeptTooLarge() || Passed(patience, x.Now) || Passed(until, x.Now):
			p.DropKept()
			x.Call.KeptLost()
		default:
			if why := x.Sleep(Earlier(until, x.Now.Add(keptStep)), x.granted); why != TimeUp {
				return why
			}
		}
	}
	return TimeUp
}
