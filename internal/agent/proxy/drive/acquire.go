package drive

import (
	"context"
	"errors"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/panics"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

const (
	// keptWait is how long a retry waits for the rest of a kept response whose connection it needs, and keptStep how often it checks.
	keptWait = 100 * time.Millisecond
	keptStep = 10 * time.Millisecond
)

// place gets an attempt its connection. Without one (the lease is zero), the action says what follows.
func (x *Exchange) place(p Protocol, a call.Action) (upstream.Lease, call.Action) {
	t := &x.slot
	t.Original, t.Pinned, t.Fresh, t.Unsecured = x.Client.Original, x.Pinned, a.Fresh || x.Fresh, x.Unsecured
	if !x.Unsecured {
		t.Original = x.Route.Connects(t.Original)
	}
	t.Careful, t.Client = x.careful, x.Client.ID
	t.Avoid = nil
	if a.Avoid {
		t.Avoid = x.Call.Endpoints()
		x.findAddresses(a)
	}
	if x.Route.ThroughProxy() && !x.findProxy(a) {
		return upstream.Lease{}, x.noProxy(a)
	}
	pool := x.Route.Pool
	answer, l := pool.Acquire(x.Now, t)
	switch answer {
	case upstream.Ready, upstream.Dial:
	case upstream.Overflow:
		x.Detail = routes.DetailQueueFull
		return upstream.Lease{}, x.Call.LocalReject(x.Now, a.Attempt, call.Overflow)
	case upstream.Parked:
		if next, ok := x.queue(p, a); !ok {
			return upstream.Lease{}, next
		}
		answer, l = pool.Redeem(x.Now, t)
	case upstream.Joined, upstream.Failed: // which are for multiplexed requests
	}
	x.PlacedAt = x.Now
	placed := x.Call.Placed(x.Now, a.Attempt, t.Host().Addr())
	if answer == upstream.Ready {
		return l, call.Action{}
	}
	l, kind := x.dial(a, placed.Until)
	if kind != call.OK {
		return upstream.Lease{}, x.dialFailed(a.Attempt, kind)
	}
	return l, call.Action{}
}

// queue waits for a place in the pool (rule 25).
func (x *Exchange) queue(p Kept, a call.Action) (next call.Action, ok bool) {
	pool, until := x.Route.Pool, a.Until
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
	x.Route.Pool.Cancel(x.Now, &x.slot)
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

// dial makes a new connection. Without one, the kind says why.
func (x *Exchange) dial(a call.Action, until time.Time) (upstream.Lease, call.Kind) {
	end, late := until, context.DeadlineExceeded
	limit := x.Plan.Settings.Timeouts.Connect
	if limit <= 0 {
		limit = x.ConnectTimeout
	}
	secured := x.Route.Originates() && !x.Unsecured
	x.slot.ConnectTimeout, x.slot.HandshakeTimeout = 0, 0
	if secured { // the limits are those of stages
		x.slot.ConnectTimeout, x.slot.HandshakeTimeout = limit, x.Plan.Settings.Timeouts.TLSHandshake
	} else if connected := x.Now.Add(limit); limit > 0 && (end.IsZero() || connected.Before(end)) {
		end, late = connected, upstream.ErrConnectTimeout
	}
	there := NewWhileThere(x.Client, end, late)
	began := x.Now
	l, err := x.connect(there, secured)
	there.Stop()
	x.Now = time.Now()
	switch {
	case err == nil:
		return l, call.OK
	case there.Left():
		return upstream.Lease{}, call.ClientGone
	}
	kind, why := FailureOf(err)
	if kind != call.Internal && Passed(until, x.Now) {
		kind, why = call.AttemptTimeout, DetailOfLimit(x.Call.Limit(a.Attempt))
	}
	x.last = routes.Attempt{Kind: kind, Start: a.Start, Peer: x.slot.Host().Addr(), Took: x.Now.Sub(began), Detail: why}
	x.reportLast()
	return upstream.Lease{}, kind
}

// connect makes the connection. A handshake needs a large stack, which would stay with the idle connection of the client.
func (x *Exchange) connect(ctx context.Context, secured bool) (l upstream.Lease, err error) {
	if !secured {
		return x.connectNow(ctx)
	}
	return x.connectAside(ctx)
}

func (x *Exchange) connectAside(ctx context.Context) (l upstream.Lease, err error) {
	panics.Aside(func() { l, err = x.connectNow(ctx) })
	return l, err
}

// FailureOf says what a dial's error means.
func FailureOf(err error) (call.Kind, routes.Detail) {
	var proxy *upstream.ProxyError
	kind, why := upstream.FailureOf(err), DetailOf(err)
	switch {
	case kind == call.Internal:
		why = routes.DetailLocal
	case kind == call.ProxyRefused || errors.As(err, &proxy):
		why = detailOfProxy(err, why)
	case errors.Is(err, transport.ErrHandshakeTimeout):
		why = routes.DetailTLSHandshake
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
