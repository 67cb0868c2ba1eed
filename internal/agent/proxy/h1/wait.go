package h1

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// MaxInterim is how many interim responses an attempt may have. Servers that report progress send one every few seconds at most.
const MaxInterim = 1000

// shortestLook is how long the first wait lasts at least.
const shortestLook = time.Millisecond

// awaitHead reads the head of the final response, and has interim ones forwarded. Whatever arrives, every deadline is checked. The
// stack of an idle connection stays as large as it once was here, so what is decided between reads has functions of its own, which the
// compiler must not merge into this one.
func (x *exchange) awaitHead() call.Action {
	for look := x.firstWait(); ; {
		if x.headRead(x.readHead(look), &look) {
			return x.after
		}
	}
}

// readHead reads a head until the next check.
func (x *exchange) readHead(look time.Duration) error {
	t := x.cur
	t.in.bound(x.Now, x.nextLook(look))
	return t.in.reader.ReadResponse(&t.response, x.request.Info())
}

// headRead decides on what came of reading a head, and reports whether that is done; the call's answer is x.after then. look is doubled
// when nothing came.
//
//go:noinline
func (x *exchange) headRead(err error, look *time.Duration) (done bool) {
	x.after, done = x.decideHead(err, look)
	return done
}

func (x *exchange) decideHead(err error, look *time.Duration) (next call.Action, done bool) {
	t := x.cur
	if err == nil && !t.response.Interim() {
		return x.responseHead(), true
	}
	x.Now = time.Now()
	switch {
	case err == nil:
		if next, done := x.interim(); done {
			return next, true
		}
	case errors.Is(err, errAnswered): // the request is not sent to its end, but its response is read
		t.until = x.untilOf(t, x.Call.RequestWritten(x.Now, t.ID))
	case !t.streaming && t.err != nil && !errors.Is(t.err, errAnswered):
		return x.sendFailed(), true
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return x.failed(kindOf(err)), true
	case x.s.client.Left():
		return x.clientGone(routes.DetailClientLeft), true
	default:
		*look = min(2**look, drive.MaxCheck)
	}
	return x.overdue()
}

// firstWait is how long the first wait lasts before the client and the deadlines are checked.
//
//go:noinline
func (x *exchange) firstWait() time.Duration {
	look := drive.FirstCheck
	limits := &x.Plan.Settings.Timeouts
	for _, limit := range [...]time.Duration{x.Call.TimeLeft(x.cur.ID), limits.ResponseHeader, limits.Idle, x.Plan.Hedge.Delay()} {
		if limit > 0 {
			look = min(look, limit)
		}
	}
	return max(look, shortestLook)
}

// nextLook is when the next wait ends.
func (x *exchange) nextLook(look time.Duration) time.Time {
	end := drive.Earlier(drive.Earlier(x.cur.until, x.idleEnd()), x.Now.Add(look))
	if x.Plan.Hedge.Max > 0 {
		end = drive.Earlier(end, x.Call.HedgeAt())
	}
	return end
}

// idleEnd is when the attempt under way will have been idle for too long (timeouts.idle); zero: never.
func (x *exchange) idleEnd() time.Time { return x.idleEndOf(x.cur) }

func (x *exchange) idleEndOf(t *attempt) time.Time { return x.idleEndAt(t, x.Now) }

func (x *exchange) idleEndAt(t *attempt, now time.Time) time.Time {
	limit := x.Plan.Settings.Timeouts.Idle
	if limit <= 0 {
		return time.Time{}
	}
	return t.lastProgress(now).Add(limit)
}

// overdue ends an attempt that takes too long, or whose request cannot be sent to its end.
func (x *exchange) overdue() (next call.Action, done bool) {
	if next, done := x.sentSoFar(); done {
		return next, true
	}
	switch {
	case drive.Passed(x.cur.until, x.Now):
		return x.attemptTimeout(), true
	case drive.Passed(x.idleEnd(), x.Now):
		return x.idleTimeout(), true
	case x.Plan.Hedge.Max > 0 && drive.Passed(x.Call.HedgeAt(), x.Now):
		return x.hedgeDue()
	}
	return call.Action{}, false
}

// interim forwards a 1xx response (rules 11 and 21).
func (x *exchange) interim() (next call.Action, done bool) {
	t := x.cur
	if t.interims++; t.interims > MaxInterim {
		return x.failed(call.BadResponse, routes.DetailInterim), true
	}
	if x.request.Minor == 0 { // RFC 9110 section 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client"
		t.in.reader.Finish()
		return call.Action{}, false
	}
	if t.response.Status != 100 {
		x.cancelAll(x.Call.Interim(x.Now, t.ID).Cancel)
	}
	out := &x.out
	whole := out.until
	out.until = x.Call.Deadline() // the client may take it slowly, or not at all
	_, err := t.response.WriteResponse(out, noChange, nil)
	out.until = whole
	t.in.reader.Finish()
	if err == nil {
		return call.Action{}, false
	}
	x.s.client.Conn.ResetOnClose() // it may have a part of it
	why := routes.DetailClientLeft
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if x.Now, why = time.Now(), routes.DetailIdle; drive.Passed(x.Call.Deadline(), x.Now) {
			why = drive.DetailOfLimit(x.Call.DeadlineLimit())
		}
	}
	return x.clientGone(why), true
}

// responseHead reports a final response to the call.
func (x *exchange) responseHead() call.Action {
	t := x.cur
	x.Now = time.Now()
	whole := t.whole()
	if !t.streaming {
		x.reportBody()
	}
	p := &t.response
	t.hasHead = true
	x.attempted(t, call.OK, p.Status, routes.NoDetail)
	t.in.reader.Body(&t.body, &p.Head)
	r := call.Response{Status: p.Status, GRPCStatus: -1, RequestUnfinished: !whole && !x.upload.awaits100}
	if p.Status >= 400 {
		drive.ReadWish(&r, p, x.Now)
	}
	r.HeaderMatched = x.Plan.MatchesField(p.Value)
	if w := x.Plan.Would; w != nil {
		r.ShadowHeaderMatched = w.MatchesField(p.Value)
	}
	a := x.Call.ResponseHead(x.Now, t.ID, r)
	if a.Keep {
		x.keepResponse()
	}
	return a
}
