package proxy

import (
	"context"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// startTry takes a connection, sends the request and waits for the response's head. No try starts for a client that has gone
// (rule 4); the first one starts when the client has just spoken.
func (x *exchange) startTry(a call.Action) call.Action {
	if a.Start != call.First && x.s.left() {
		return x.call.ClientGone(x.now)
	}
	if next, ok := x.place(a); !ok {
		return next
	}
	t := x.cur
	t.until = x.call.Sending(x.now).Until
	switch {
	case x.upload.held:
		return x.sendHeld()
	case x.atOnce():
		t.line.before = t.send
		return x.awaitHead()
	}
	return x.sendBeside()
}

// place gets the try a connection. ok is false when there is none; the action says what follows.
func (x *exchange) place(a call.Action) (next call.Action, ok bool) {
	t := &x.ticket
	t.Original, t.Pinned, t.Fresh = x.s.original, x.s.pinned, a.Fresh
	t.Careful, t.Client = x.request.Class == call.Unsafe, x.s.id
	t.Avoid = nil
	if a.Avoid {
		t.Avoid = x.avoid
	}
	pool := x.lane.Pool
	switch pool.Acquire(t) {
	case upstream.Granted:
	case upstream.Overflow:
		x.detail = routes.DetailQueueFull
		return x.call.LocalReject(x.now, call.Overflow), false
	case upstream.Queued:
		if next, ok := x.queue(a, pool); !ok {
			return next, false
		}
	}
	dispatched := x.call.Dispatched(x.now)
	c := pool.Redeem(t, x.now)
	if c == nil {
		var kind call.Kind
		if c, kind = x.dial(pool, a.Start, dispatched.Until); c == nil {
			return x.dialFailed(kind), false
		}
	} else {
		x.avoid = append(x.avoid, c.Peer())
	}
	x.cur.take(c, a.Start)
	return call.Action{}, true
}

// queue waits for a place in the pool (rule 25).
func (x *exchange) queue(a call.Action, pool *upstream.Pool) (next call.Action, ok bool) {
	until := a.Until
	if limit := x.plan.Settings.Pool.PendingTimeout; limit > 0 {
		until = earlier(until, x.now.Add(limit))
	}
	why := x.makeWay(until)
	if why == timeUp {
		why = x.sleep(until, x.ticket.Ready())
	}
	if why == timeUp && pool.CancelQueued(&x.ticket) {
		why = woken // in the last moment: the place is ours
	}
	switch {
	case why == woken && !x.s.left():
		return call.Action{}, true
	case why != timeUp:
		pool.Cancel(&x.ticket)
		return x.call.ClientGone(x.now), false
	}
	if passed(a.Until, x.now) {
		x.detail = detailOfLimit(x.call.Limit())
		return x.call.Timer(x.now), false
	}
	x.detail = routes.DetailQueueTimeout
	return x.call.LocalReject(x.now, call.Overflow), false
}

// dial makes a new connection. Without one, the kind says why.
func (x *exchange) dial(pool *upstream.Pool, start call.Start, until time.Time) (*upstream.Conn, call.Kind) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := until
	if limit := x.plan.Settings.Timeouts.Connect; limit > 0 {
		end = earlier(end, x.now.Add(limit))
	}
	if !end.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	watch := watchClient(x.s.left, cancel)
	x.avoid = append(x.avoid, x.ticket.Peer())
	began := x.now
	c, err := pool.Dial(ctx, &x.ticket)
	watch.stop()
	x.now = time.Now()
	switch {
	case err == nil:
		return c, call.OK
	case watch.left.Load():
		return nil, call.ClientGone
	}
	kind, why := upstream.FailureOf(err), detailOf(err)
	switch {
	case kind == call.Internal:
		why = routes.DetailLocal
	case passed(until, x.now):
		kind, why = call.AttemptTimeout, detailOfLimit(x.call.Limit())
	case kind == call.ConnectTimeout && why != routes.DetailNoAnswer:
		why = routes.DetailConnect
	}
	x.try = routes.Attempt{Kind: kind, Start: start, Peer: x.ticket.Peer(), Took: x.now.Sub(began), Detail: why}
	x.reportTry()
	return nil, kind
}

func (x *exchange) dialFailed(kind call.Kind) call.Action {
	switch kind {
	case call.ClientGone:
		x.detail = routes.DetailClientLeft
		return x.call.ClientGone(x.now)
	case call.Internal:
		return x.call.LocalReject(x.now, call.Internal)
	default:
		return x.call.TryFailed(x.now, call.Failure{Kind: kind})
	}
}

// clientWatch cancels a dial when the client has gone.
type clientWatch struct {
	left, stopped atomic.Bool
	timer         *time.Timer
}

func watchClient(gone func() bool, cancel context.CancelFunc) *clientWatch {
	w := &clientWatch{}
	ready := make(chan struct{})
	w.timer = time.AfterFunc(firstLook, func() {
		<-ready
		if gone() {
			w.left.Store(true)
			cancel()
			return
		}
		w.timer.Reset(firstLook)
		if w.stopped.Load() { // in the meantime: the timer must not go on
			w.timer.Stop()
		}
	})
	close(ready)
	return w
}

func (w *clientWatch) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}
