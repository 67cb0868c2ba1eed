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
	clients  bool      // the deadline is the client's own, not the policy's
	tryBegan time.Time
	until    time.Time // what the driver was told last
	permit   resilience.Permit
	drawn    time.Duration // last backoff drawn
	last     Failure       // how the last try failed, if it failed without a response
	status   int           // of the last real response; 0: none
	kept     bool          // the driver keeps that response

	phase   phase
	tries   int
	retries int // that count against maxRetries

	replays   bool // a request body is worth keeping
	sent      bool // bytes of the request went out in any try
	sentNow   bool // and in the try under way
	lost      bool // the request body cannot be sent again
	forwarded bool // an interim response other than 100 went to the client
	repaired  bool // the free retry of semantics rule 8 was used

	outcome Outcome
}

// Begin starts a call whose request head has just been read.
func (c *Call) Begin(now time.Time, p Plan, r Request) Action {
	*c = Call{plan: p, request: r, started: now, phase: queued}
	limit := p.Settings.Timeouts.Overall
	if r.Timeout > 0 && (limit == 0 || r.Timeout < limit) {
		limit, c.clients = r.Timeout, true
	}
	c.deadline = after(now, limit)
	c.deadline = earlier(c.deadline, after(now, p.Settings.Timeouts.MaxDuration))
	c.replays = r.HasBody && c.methodAllows()
	if p.Budget != nil {
		p.Budget.Call(now)
	}
	if !c.admitted(now) {
		return c.end(now, Refused)
	}
	return c.startTry(Action{})
}

// Dispatched tells that the try has left the pool's queue; connecting belongs to the try (semantics rule 2).
func (c *Call) Dispatched(now time.Time) Action {
	if c.phase == queued {
		c.phase, c.tryBegan = trying, now
		c.until = earlier(c.deadline, after(now, c.plan.Settings.Timeouts.PerTry))
	}
	return Action{Do: Continue, Until: c.until}
}

// RequestWritten tells that the last byte of the request was handed to the kernel. A driver need not report it when
// timeouts.responseHeader is not set.
func (c *Call) RequestWritten(now time.Time) Action {
	if c.phase == trying {
		c.sent, c.sentNow = true, true
		c.until = earlier(c.until, after(now, c.plan.Settings.Timeouts.ResponseHeader))
	}
	return Action{Do: Continue, Until: c.until}
}

// Interim tells that a 1xx response other than 100 was forwarded to the client: nothing is retried after it (semantics
// rule 11).
func (c *Call) Interim() {
	c.sent, c.sentNow, c.forwarded = true, true, true
}

// BodyOverflowed tells that the request body, or a part of it, cannot be sent again (semantics rule 18).
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
// reported as an AttemptTimeout, whichever limit it was.
func (c *Call) TryFailed(now time.Time, f Failure) Action {
	if c.phase != trying && c.phase != queued {
		return Action{Do: Continue}
	}
	f.BytesWritten = f.BytesWritten || f.ResponseStarted || c.sentNow
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

// ClientGone tells that the client closed or reset its side (semantics rule 4).
func (c *Call) ClientGone(now time.Time) Action {
	if c.phase == ended {
		return Action{Do: Continue}
	}
	a := Action{Do: Abort, Cancel: c.phase != waiting}
	c.giveBack()
	c.finish(now, ClientGone, Abandoned)
	return a
}

// LocalReject tells that the agent itself refused the try before it was dispatched: kind is Overflow, RateLimited or
// Internal. It is never retried and never an upstream failure (semantics rule 12).
func (c *Call) LocalReject(now time.Time, kind Kind) Action {
	if c.phase == ended {
		return Action{Do: Continue}
	}
	c.giveBack()
	c.last = Failure{Kind: kind}
	return c.end(now, Refused)
}

// NeedsReplay reports whether the driver should keep the request body while it streams: whether a try that sent a part of
// it could be repeated at all. That does not take retries to be switched on (semantics rule 8).
func (c *Call) NeedsReplay() bool {
	return c.request.HasBody && !c.lost && c.replays
}

// Ended reports whether the call has ended, but for its response body.
func (c *Call) Ended() bool { return c.phase == ended }

// Outcome tells how the call ended. It is valid from the end of the call to the next Begin.
func (c *Call) Outcome() Outcome { return c.outcome }

func after(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// earlier returns the earlier of two times of which a zero one means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// passed reports whether t, which a zero value puts off for ever, has come.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
