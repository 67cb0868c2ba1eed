package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// phase is where a call stands.
type phase uint8

const (
	ended   phase = iota // also before the first Begin
	queued               // a try is to be started; it may wait in the pool's queue
	trying               // a try is under way
	waiting              // between tries
)

// Call is one call's life. The zero Call is ready for Begin; a Call is used again for the next call by another Begin, and
// belongs to one goroutine at a time.
//
// The driver reports what happens, at most once per try one of ResponseHead, TryFailed and LocalReject, and obeys the Action
// it gets back. A try for which an Action said Cancel, or which was reported failed, is over: nothing more is reported of
// it. Nothing is reported after Forward, ForwardKept, Reject or Abort.
type Call struct {
	plan    Plan
	request Request

	started  time.Time
	deadline time.Time // zero: none
	binding  Limit     // what the deadline is
	until    time.Time // what the driver was told last
	limit    Limit     // what until stands for
	// The clock of the try under way (rule 2): it has run for spent, and since running; zero: it stands.
	spent   time.Duration
	running time.Time
	permit  resilience.Permit
	drawn   time.Duration // last backoff drawn
	last    Failure       // how the last try failed, if it failed without a response
	status  int           // of the last real response; 0: none
	kept    bool          // the driver keeps that response

	phase   phase
	tries   int
	retries int // that count against maxRetries

	replays   bool // a request body is worth keeping
	sent      bool // bytes of the request went out in any try
	lost      bool // the request body cannot be sent again
	forwarded bool // an interim response other than 100 went to the client
	repaired  bool // the free retry of rule 8 was used

	outcome Outcome
}

// Begin starts a call whose request head has just been read.
func (c *Call) Begin(now time.Time, p Plan, r Request) Action {
	*c = Call{plan: p, request: r, started: now, phase: queued}
	c.bound(after(now, p.Settings.Timeouts.Overall), LimitOverall)
	c.bound(after(now, r.Timeout), LimitClient)
	c.bound(after(now, p.Settings.Timeouts.MaxDuration), LimitMaxDuration)
	c.deadline, c.binding = c.until, c.limit
	c.replays = r.HasBody && c.methodAllows()
	if p.Budget != nil {
		p.Budget.Call(now)
	}
	if !c.admitted(now) {
		return c.end(now, Refused)
	}
	return c.startTry(Action{})
}

// Dispatched tells that the try has left the pool's queue. Its clock begins to run: connecting belongs to it (rule 2).
func (c *Call) Dispatched(now time.Time) Action {
	if c.phase == queued {
		c.phase, c.running = trying, now
		c.until, c.limit = c.deadline, c.binding
		c.bound(after(now, c.plan.Settings.Timeouts.PerTry), LimitPerTry)
	}
	return Action{Do: Continue, Until: c.until}
}

// Sending tells that there is a connection and the request is being sent, or sent on: the try's clock stands until
// RequestWritten, for what is waited for may be the client (rule 2). A try for which it is never reported is one long wait.
func (c *Call) Sending(now time.Time) Action {
	if c.phase == trying && !c.running.IsZero() {
		c.spent, c.running = c.took(now), time.Time{}
		c.until, c.limit = c.deadline, c.binding
	}
	return Action{Do: Continue, Until: c.until}
}

// RequestWritten tells that the kernel has accepted the last byte of the request, or of the part that the client has sent so far
// while it waits for 100 (Continue). The try's clock runs again.
func (c *Call) RequestWritten(now time.Time) Action {
	if c.phase == trying {
		if c.running.IsZero() {
			c.running = now
		}
		c.until, c.limit = c.deadline, c.binding
		if limit := c.plan.Settings.Timeouts.PerTry; limit > 0 {
			c.bound(c.running.Add(limit-c.spent), LimitPerTry)
		}
		c.bound(after(now, c.plan.Settings.Timeouts.ResponseHeader), LimitResponseHeader)
	}
	return Action{Do: Continue, Until: c.until}
}

// Limit tells which deadline Until stands for.
func (c *Call) Limit() Limit { return c.limit }

// Binding tells what Deadline is.
func (c *Call) Binding() Limit { return c.binding }

// Deadline is when the response's head must have been forwarded; zero means never.
func (c *Call) Deadline() time.Time { return c.deadline }

// Interim tells that a 1xx response other than 100 was forwarded to the client: nothing is retried after it (semantics
// rule 11).
func (c *Call) Interim() {
	c.sent, c.forwarded = true, true
}

// BodyOverflowed tells that the request body, or a part of it, cannot be sent again (rule 18).
func (c *Call) BodyOverflowed() { c.lost = true }

// ResponseHead tells of a final response head (101 is one).
func (c *Call) ResponseHead(now time.Time, r Response) Action {
	if c.phase != trying && c.phase != queued {
		return Action{Do: Continue}
	}
	c.sent = true
	c.status = r.Status
	c.last = Failure{Kind: OK, BytesWritten: true}
	v := verdictOnResponse(c.plan.Settings, &r)
	c.settle(now, v.breakerFails)
	if !v.failure && !v.retryable {
		return c.forward(now, c.success())
	}
	delay, fate, ok := c.gates(now, &v, &r)
	if !ok {
		return c.forward(now, fate)
	}
	c.kept = true
	a := c.retry(now, delay)
	if a.Do == ForwardKept { // refused at once: it was never put aside
		a.Do = Forward
		return a
	}
	a.Keep = true
	return a
}

// TryFailed tells that the try ended without a response; its connection or stream is gone. A try in which Until passed is
// reported as an AttemptTimeout, whichever limit it was. Whether the request was sent is what f says: a fact of this try.
func (c *Call) TryFailed(now time.Time, f Failure) Action {
	if c.phase != trying && c.phase != queued {
		return Action{Do: Continue}
	}
	f.BytesWritten = f.BytesWritten || f.ResponseStarted
	c.sent = c.sent || f.BytesWritten
	c.last = f
	if f.Kind == AttemptTimeout && passed(c.deadline, now) {
		return c.cut(now)
	}
	if f.stale() && c.repairable(now, &f) {
		return c.repair(now)
	}
	v := verdictOnFailure(c.plan.Settings, &f)
	c.settle(now, v.breakerFails)
	delay, fate, ok := c.gates(now, &v, nil)
	var a Action
	if ok {
		a = c.retry(now, delay)
	} else {
		a = c.end(now, fate)
	}
	if f.Kind == AttemptTimeout {
		return cancelling(a)
	}
	return a
}

// Timer tells that Until has come. In a try the driver may report TryFailed with Kind AttemptTimeout instead, which says
// more; here the request is taken to be sent.
func (c *Call) Timer(now time.Time) Action {
	if c.phase == ended || c.until.IsZero() || now.Before(c.until) {
		return c.carryOn()
	}
	switch c.phase {
	case queued:
		c.giveBack()
		c.last = Failure{Kind: Deadline}
		return cancelling(c.end(now, ByDeadline))
	case trying:
		return c.TryFailed(now, Failure{Kind: AttemptTimeout, BytesWritten: true})
	case waiting:
		return c.startRetry(now)
	case ended:
	}
	return Action{Do: Continue}
}

// ClientGone tells that the client closed or reset its side (rule 4). A try that has been slow by then was slow, whoever
// did not wait for its end.
func (c *Call) ClientGone(now time.Time) Action {
	if c.phase == ended {
		return Action{Do: Continue}
	}
	a := Action{Do: Abort, Cancel: c.phase != waiting}
	c.giveUp(now)
	c.finish(now, ClientGone, Abandoned)
	return a
}

// LocalReject tells that the agent itself refused the try before it was dispatched: kind is Overflow, RateLimited or
// Internal. It is never retried and never an upstream failure (rule 12).
func (c *Call) LocalReject(now time.Time, kind Kind) Action {
	if c.phase == ended {
		return Action{Do: Continue}
	}
	c.giveBack()
	c.last = Failure{Kind: kind}
	return c.end(now, Refused)
}

// KeptLost tells that the response kept cannot be forwarded any more: its place was needed for the next try.
func (c *Call) KeptLost() { c.kept = false }

// NeedsReplay reports whether the driver should keep the request body while it streams: whether a try that sent a part of
// it could be repeated at all. That does not take retries to be switched on (rule 8).
func (c *Call) NeedsReplay() bool {
	return c.request.HasBody && !c.lost && c.replays
}

// Ended reports whether the call has ended, but for its response body.
func (c *Call) Ended() bool { return c.phase == ended }

// Outcome tells how the call ended. It is valid from the end of the call to the next Begin.
func (c *Call) Outcome() Outcome { return c.outcome }

// bound has the try or the call end at t, if that is not later than what holds already; a zero t bounds nothing.
func (c *Call) bound(t time.Time, l Limit) {
	if !t.IsZero() && (c.until.IsZero() || t.Before(c.until)) {
		c.until, c.limit = t, l
	}
}

// took is how long the try's clock has run.
func (c *Call) took(now time.Time) time.Duration {
	if c.running.IsZero() {
		return c.spent
	}
	return c.spent + now.Sub(c.running)
}

func after(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// passed reports whether t, which a zero value puts off for ever, has come.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
