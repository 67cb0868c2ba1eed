package proxy

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// How often a call that waits looks whether its client is still there (rule 4). Calls that are answered sooner never
// look.
const (
	firstLook = 50 * time.Millisecond
	maxLook   = 500 * time.Millisecond
)

// maxInterim is how many interim responses a try may have. Those that tell of progress come every few seconds at most.
const maxInterim = 1000

// awaitHead reads the head of the final response, and has interim ones forwarded. Whatever arrives, every deadline is looked at.
func (x *exchange) awaitHead() call.Action {
	t := x.cur
	look := x.firstWait()
	for {
		t.line.now, t.line.until = x.now, x.nextLook(look)
		err := t.line.reader.ReadResponse(&t.response, x.request.Asked())
		if err == nil && !t.response.Interim() {
			return x.gotHead()
		}
		x.now = time.Now()
		switch {
		case err == nil:
			if next, done := x.interim(); done {
				return next
			}
		case errors.Is(err, errAnswered): // it is not taken to its end, but what is said to it may be worth hearing
			t.until = x.call.RequestWritten(x.now).Until
		case !t.streaming && t.err != nil && !errors.Is(t.err, errAnswered):
			return x.sendFailed()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return x.failed(kindOf(err))
		default:
			if x.s.left() {
				return x.clientGone(routes.DetailClientLeft)
			}
			look = min(2*look, maxLook)
		}
		if next, done := x.overdue(); done {
			return next
		}
	}
}

// firstWait is how long the first wait lasts until somebody looks around.
func (x *exchange) firstWait() time.Duration {
	look := firstLook
	limits := &x.plan.Settings.Timeouts
	for _, limit := range [...]time.Duration{limits.PerTry, limits.ResponseHeader, limits.Idle} {
		if limit > 0 {
			look = min(look, limit)
		}
	}
	return look
}

// nextLook is when the next wait ends.
func (x *exchange) nextLook(look time.Duration) time.Time {
	return earlier(earlier(x.cur.until, x.idleEnd()), x.now.Add(look))
}

// idleEnd is when the try under way will have been idle for too long (timeouts.idle); zero: never.
func (x *exchange) idleEnd() time.Time { return x.idleEndOf(x.cur) }

func (x *exchange) idleEndOf(t *attempt) time.Time {
	limit := x.plan.Settings.Timeouts.Idle
	if limit <= 0 {
		return time.Time{}
	}
	return t.lastMoved(x.now).Add(limit)
}

// overdue ends a try that takes too long, or whose request cannot be sent to its end.
func (x *exchange) overdue() (next call.Action, done bool) {
	if next, done := x.sentSoFar(); done {
		return next, true
	}
	switch {
	case passed(x.cur.until, x.now):
		return x.timedOut(), true
	case passed(x.idleEnd(), x.now):
		return x.idled(), true
	}
	return call.Action{}, false
}

// interim forwards a 1xx response (rules 11 and 21).
func (x *exchange) interim() (next call.Action, done bool) {
	t := x.cur
	if t.interims++; t.interims > maxInterim {
		return x.failed(call.BadResponse, routes.DetailInterim), true
	}
	if x.request.Minor == 0 { // RFC 9110 section 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client"
		t.line.reader.Finish()
		return call.Action{}, false
	}
	if t.response.Status != 100 {
		x.call.Interim()
	}
	out := &x.s.out
	whole := out.until
	out.until = x.call.Deadline() // the client may take it slowly, or not at all
	_, err := t.response.WriteResponse(out, noChange, nil)
	out.until = whole
	t.line.reader.Finish()
	if err == nil {
		return call.Action{}, false
	}
	x.s.client.ResetOnClose() // it may have a part of it
	why := routes.DetailClientLeft
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if x.now, why = time.Now(), routes.DetailIdle; passed(x.call.Deadline(), x.now) {
			why = detailOfLimit(x.call.Binding())
		}
	}
	return x.clientGone(why), true
}

// gotHead tells the call of a final response.
func (x *exchange) gotHead() call.Action {
	t := x.cur
	x.now = time.Now()
	whole := t.whole()
	if !t.streaming {
		x.toldBody()
	}
	p := &t.response
	x.tried(call.OK, p.Status, routes.NoDetail)
	t.line.reader.Body(&t.body, &p.Head)
	r := call.Response{Status: p.Status, GRPCStatus: -1, RequestUnfinished: !whole && !x.upload.held}
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
	if x.sleep(a.Until, nil) == clientLeft || x.s.left() {
		x.detail = routes.DetailClientLeft
		return x.call.ClientGone(x.now)
	}
	if k := x.kept; k != nil && k.conn != nil {
		k.collect()
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
