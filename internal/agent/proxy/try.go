package proxy

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/store"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// How often a call that waits looks whether its client is still there (semantics rule 4). Calls that are answered sooner never
// look.
const (
	firstLook = 50 * time.Millisecond
	maxLook   = 500 * time.Millisecond
)

// startTry takes a connection, sends the request and waits for the response's head.
func (x *exchange) startTry(a call.Action) call.Action {
	a, ok := x.place(a)
	if !ok {
		return a
	}
	t := x.cur
	if x.upload.sentAllAtOnce() {
		t.line.before = t.send
		if x.plan.Settings.Timeouts.ResponseHeader > 0 {
			a = x.call.RequestWritten(x.now)
		}
		return x.awaitHead(a)
	}
	return x.stream(a)
}

// place gets the try a connection. ok is false when there is none; the action says what follows.
func (x *exchange) place(a call.Action) (next call.Action, ok bool) {
	t := &x.ticket
	t.Original, t.Pinned, t.Fresh = x.s.original, x.s.pinned, a.Fresh
	t.Careful = x.request.Class == call.Unsafe
	t.Avoid = nil
	if a.Avoid {
		t.Avoid = x.avoid
	}
	pool := x.lane.Pool
	switch pool.Ask(t) {
	case upstream.Granted:
	case upstream.Overflow:
		return x.call.LocalReject(x.now, call.Overflow), false
	case upstream.Queued:
		if next, ok := x.queue(a, pool); !ok {
			return next, false
		}
	}
	a = x.call.Dispatched(x.now)
	c := pool.Take(t, x.now)
	if c == nil {
		var kind call.Kind
		if c, kind = x.dial(pool, a.Until); c == nil {
			return x.dialFailed(kind, a.Until), false
		}
	} else {
		x.avoid = append(x.avoid, c.Peer())
	}
	x.cur.take(c, x.now, x.plan.Settings.Timeouts.Write)
	return a, true
}

// queue waits for a place in the pool (semantics rule 25).
func (x *exchange) queue(a call.Action, pool *upstream.Pool) (next call.Action, ok bool) {
	limit := x.plan.Settings.Pool.PendingTimeout
	giveUp := time.Time{}
	if limit > 0 {
		giveUp = x.now.Add(limit)
	}
	until := earlier(a.Until, giveUp)
	if k := x.kept; k != nil && k.conn != nil {
		k.collect(earlier(until, x.now.Add(maxLook))) // its connection may be the one that is waited for
		x.now = time.Now()
	}
	switch x.sleep(until, x.ticket.Ready()) {
	case woken:
		return a, true
	case clientLeft:
		pool.Forget(&x.ticket)
		return x.call.ClientGone(x.now), false
	case timeUp:
	}
	pool.Forget(&x.ticket)
	if passed(a.Until, x.now) {
		return x.call.Timer(x.now), false
	}
	return x.call.LocalReject(x.now, call.Overflow), false
}

// dial makes a new connection. Without one, the kind says why.
func (x *exchange) dial(pool *upstream.Pool, until time.Time) (*upstream.Conn, call.Kind) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if limit := x.plan.Settings.Timeouts.Connect; limit > 0 {
		until = earlier(until, x.now.Add(limit))
	}
	if !until.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, until)
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
	kind := upstream.FailureOf(err)
	x.try = store.Try{Kind: kind, Retry: len(x.avoid) > 1, Peer: x.ticket.Peer(), Took: x.now.Sub(began)}
	x.lane.Recorder().TryDone(&x.try)
	return nil, kind
}

func (x *exchange) dialFailed(kind call.Kind, until time.Time) call.Action {
	switch {
	case kind == call.ClientGone:
		return x.call.ClientGone(x.now)
	case kind == call.Internal:
		return x.call.LocalReject(x.now, call.Internal)
	case passed(until, x.now):
		kind = call.AttemptTimeout
	}
	return x.call.TryFailed(x.now, call.Failure{Kind: kind})
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

// awaitHead reads the head of the final response, and has interim ones forwarded.
func (x *exchange) awaitHead(a call.Action) call.Action {
	t := x.cur
	t.until = a.Until
	look := firstLook
	for {
		t.line.now, t.line.until = x.now, earlier(a.Until, x.now.Add(look))
		err := t.line.reader.ReadResponse(&t.response, x.request.Asked())
		switch {
		case err == nil && !t.response.Interim():
			return x.gotHead()
		case err == nil:
			if next, done := x.interim(); done {
				return next
			}
		case t.err != nil:
			return x.sendFailed(a)
		case errors.Is(err, os.ErrDeadlineExceeded):
			x.now = time.Now()
			if passed(a.Until, x.now) {
				return x.failed(call.AttemptTimeout)
			}
			if x.s.left() {
				return x.clientGone()
			}
			look = min(2*look, maxLook)
		default:
			return x.failed(kindOf(err))
		}
	}
}

// interim forwards a 1xx response (semantics rules 11 and 21).
func (x *exchange) interim() (next call.Action, done bool) {
	t := x.cur
	if x.request.Minor == 0 { // RFC 9110 section 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client"
		t.line.reader.Finish()
		return call.Action{}, false
	}
	if t.response.Status != 100 {
		x.call.Interim()
	}
	_, err := t.response.WriteResponse(&x.s.out, noChange, nil)
	t.line.reader.Finish()
	if err != nil {
		return x.clientGone(), true
	}
	return call.Action{}, false
}

// gotHead tells the call of a final response.
func (x *exchange) gotHead() call.Action {
	t := x.cur
	x.now = time.Now()
	p := &t.response
	x.tried(call.OK, p.Status)
	t.line.reader.Body(&t.body, &p.Head)
	r := call.Response{Status: p.Status, GRPCStatus: -1, RequestUnfinished: x.upload.unfinished()}
	if p.Status >= 400 {
		if v, ok := p.Value("retry-after"); ok {
			r.RetryAfter, r.HasRetryAfter = resilience.RetryAfter(v, x.now)
		}
	}
	for i := range x.plan.ResponseHeaders {
		h := &x.plan.ResponseHeaders[i]
		if v, ok := p.Value(h.Name); ok && (h.Value == "" || string(v) == h.Value) {
			r.HeaderMatched = true
		}
	}
	a := x.call.ResponseHead(x.now, r)
	if a.Keep {
		x.keep()
	}
	return a
}

// woke is why a sleep ended.
type woke uint8

const (
	timeUp woke = iota
	woken
	clientLeft
)

// sleep waits until a time (zero: for ever), until ready fires or until the client leaves.
func (x *exchange) sleep(until time.Time, ready <-chan struct{}) woke {
	look := firstLook
	for {
		wait := look
		if !until.IsZero() {
			wait = min(wait, until.Sub(x.now))
		}
		if x.timer == nil {
			x.timer = time.NewTimer(wait)
		} else {
			x.timer.Reset(wait)
		}
		select {
		case <-ready:
			x.timer.Stop()
			x.now = time.Now()
			return woken
		case <-x.s.ended:
			x.timer.Stop()
			x.now = time.Now()
			return clientLeft
		case <-x.timer.C:
		}
		x.now = time.Now()
		if passed(until, x.now) {
			return timeUp
		}
		if x.s.left() {
			return clientLeft
		}
		look = min(2*look, maxLook)
	}
}

// wait waits between tries, and meanwhile takes over what there is of the kept response.
func (x *exchange) wait(a call.Action) call.Action {
	if x.sleep(a.Until, nil) == clientLeft {
		return x.call.ClientGone(x.now)
	}
	if k := x.kept; k != nil && k.conn != nil {
		k.collect(time.Time{})
	}
	return x.call.Timer(x.now)
}

// earlier returns the earlier of two times of which a zero one means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
