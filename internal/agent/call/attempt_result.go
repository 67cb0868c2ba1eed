package call

import (
	"math/bits"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// responseHead decides what follows a response head. await: it is worth while to wait for its gRPC status, if nothing else is wrong with it.
func (c *Call) responseHead(now time.Time, id AttemptID, r *Response, await bool) Action {
	t := c.attempt(id)
	if t == nil {
		return c.carryOn()
	}
	c.bytesAccepted(id)
	c.reached = true
	t.pending = r.GRPCPending
	v := result{class: classifyResponse(c.plan.Settings, r), response: r}
	good := !v.failure && !v.retryable
	c.noteResult(now, id, &v, OK)
	if good && await && t.pending && !t.answered {
		c.note(now, Held, id)
		return c.awaitTrailers(now, t, r)
	}
	if good {
		c.tookAsLong(now, t)
	}
	c.answeredWith(r.Status, r.GRPCStatus)
	if good && t.pending && !v.breakerFails {
		return c.forwardPending(now, id)
	}
	if good {
		c.returnPermit(now, t, v.breakerFails)
		a := c.forward(now, id, c.success())
		if r.Tunnel {
			c.leave(now)
		}
		return a
	}
	c.returnPermit(now, t, v.breakerFails)
	return c.notGoodEnough(now, id, &v)
}

// notGoodEnough keeps a response aside while other attempts are under way that may bring a better one, or decides what follows it.
func (c *Call) notGoodEnough(now time.Time, id AttemptID, v *result) Action {
	r := v.response
	if c.live == SetOf(id) || !v.retryable || c.interim || r.RequestUnfinished || c.pushedBack(r) {
		return c.badResponse(now, id, v)
	}
	dropped := c.keep(id)
	c.decideWithout(now, v)
	a := c.carryOn()
	a.Keep, a.Cancel = true, dropped
	return a
}

// answeredWith notes the statuses of a real response.
func (c *Call) answeredWith(status, grpc int) {
	c.status, c.grpc, c.last, c.reset = status, grpc, OK, 0
}

// badResponse decides what follows a response that is not good enough, while no better one can be hoped for.
func (c *Call) badResponse(now time.Time, id AttemptID, v *result) Action {
	delay, no := c.decide(now, v)
	c.noteDecision(now, v, delay, no)
	dropped := c.keep(id)
	var a Action
	if no == NotNeeded {
		a = c.retry(now, delay)
	} else {
		a = c.end(now, no)
	}
	switch a.Do {
	case ForwardKept: // it was never put aside
		a.Do = Forward
	case Wait, StartAttempt, Inject:
		a.Keep = true
	case Continue, AwaitTrailers, Park, Forward, Respond, Reject, Abort:
	}
	a.Cancel |= dropped
	return a
}

// keep has the driver keep the response of an attempt under way; the one kept before is dropped.
func (c *Call) keep(id AttemptID) (dropped AttemptSet) {
	dropped = c.kept
	c.over(id)
	c.kept = SetOf(id)
	return dropped
}

// over takes an attempt from those under way.
func (c *Call) over(id AttemptID) {
	if c.live &^= SetOf(id); c.live == 0 {
		c.hedgeAt = never
	}
}

func (c *Call) attemptFailed(now time.Time, id AttemptID, f *Failure) Action {
	t := c.attempt(id)
	if t == nil {
		return c.carryOn()
	}
	if f.ResponseStarted || t.answered {
		f.ResponseStarted = true
		c.bytesAccepted(id)
	}
	unsent := !t.sent || f.PeerUnprocessed && !f.ResponseStarted // a peer that has answered has begun to process
	c.reached = c.reached || !unsent
	c.last, c.reset = f.Kind, f.GRPCStatus
	if f.injected {
		c.last = Injected
	}
	if f.Kind == AttemptTimeout {
		c.tookTooLong(now, t)
	}
	c.over(id)
	if f.timesOut() && c.passed(c.deadline, now) {
		if c.cutShort(t) {
			c.returnPermit(now, t, true)
		}
		c.giveBack(t)
		return c.expire(now)
	}
	if f.stale() && c.repairable(now, unsent) {
		if c.live == 0 {
			return c.repair(now, t)
		}
		c.giveBack(t)
		c.decideWithout(now, &result{class: classifyFailure(c.plan.Settings, f, unsent), unsent: unsent})
		return c.carryOn()
	}
	v := result{class: classifyFailure(c.plan.Settings, f, unsent), unsent: unsent}
	c.noteResult(now, id, &v, f.Kind)
	c.returnPermit(now, t, v.breakerFails)
	return c.afterFailure(now, &v)
}

// afterFailure decides what follows a failure.
func (c *Call) afterFailure(now time.Time, v *result) Action {
	if c.passed(c.deadline, now) { // servers know of it and end calls at the same time, in ways that clients may take for leave to repeat them
		return c.expire(now)
	}
	if c.live != 0 {
		c.decideWithout(now, v)
		return c.carryOn()
	}
	return c.retryOrEnd(now, v)
}

// retryOrEnd has what failed tried again, or ends the call.
func (c *Call) retryOrEnd(now time.Time, v *result) Action {
	delay, no := c.decide(now, v)
	c.noteDecision(now, v, delay, no)
	if no != NotNeeded {
		return c.end(now, no)
	}
	return c.retry(now, delay)
}

// timeUp ends an attempt whose deadline has passed. In the pool's queue that is the call's.
func (c *Call) timeUp(now time.Time, id AttemptID) Action {
	if !c.attempts[id].placed {
		return c.expire(now)
	}
	a := c.attemptFailed(now, id, &Failure{Kind: AttemptTimeout})
	a.Cancel |= SetOf(id)
	return a
}

func (c *Call) localReject(now time.Time, id AttemptID, kind Kind) Action {
	t := c.attempt(id)
	if t == nil {
		return c.carryOn()
	}
	c.giveBack(t)
	c.over(id)
	if c.live != 0 {
		if c.onlyUnplaced() {
			c.decided(kind)
			c.without.decision = Refused
		}
		return c.carryOn()
	}
	c.decided(kind)
	return c.end(now, Refused)
}

// end answers the client with the last real response, or with a local one if there was none (rules 3 and 10), unless the fallback
// steps in.
func (c *Call) end(now time.Time, d RetryDecision) Action {
	a, ok := c.fallBack(now, d)
	if ok {
		return a
	}
	dropped := a.Cancel
	if c.kept != 0 {
		a = c.forward(now, AttemptID(bits.TrailingZeros8(uint8(c.kept))), d)
		a.Do = ForwardKept
		a.Cancel |= dropped
		return a
	}
	a = Action{Do: Reject, Cancel: c.dismiss(now) | dropped}
	c.finish(now, c.localKind(d), d)
	return a
}

// localKind is what a local answer gives as the reason.
func (c *Call) localKind(d RetryDecision) Kind {
	switch {
	case d == ByDeadline:
		return Deadline
	case c.last == OK: // its response was lost with its connection, while it was kept
		return Reset
	}
	return c.last
}

// fallBack is the last step before a call that failed is answered. ok is false if there is nothing to fall back on.
func (c *Call) fallBack(now time.Time, d RetryDecision) (a Action, ok bool) {
	f := c.own.Fallback
	if f == nil || c.route != 0 || c.interim || !c.fallsBackOn(f, d) {
		return Action{}, false
	}
	if f.Plan == nil {
		if c.request.Tunnel && f.Status/100 == 2 { // RFC 9110 section 9.3.6: any of these says that the tunnel is made
			return Action{}, false
		}
		a := Action{Do: Respond, Cancel: c.dismiss(now)}
		c.finish(now, c.failedBy(d), d)
		o := &c.outcome
		o.Fallback, o.Upstream, o.Status = FellBackOnResponse, c.status, f.Status
		if c.request.GRPC {
			o.GRPCStatus = f.GRPCStatus
		}
		return a, true
	}
	// One attempt more may be a second execution, wherever it goes: it obeys the gate like any other.
	if d == ByMethod || c.reached && !c.methodAllows() || d == ByBody || c.bodyGone() || c.passed(c.deadline, now) {
		return Action{}, false
	}
	others := c.dismissLive(now, 0)
	c.plan, c.route = f.Plan, 1
	p, ok := c.admitted(now)
	if !ok {
		c.plan, c.route = c.own, 0
		return Action{Cancel: others}, false
	}
	c.note(now, FallsBack, 0)
	return c.start(now, p, Action{Start: FallbackStart, Cancel: others}), true
}

// fallsBackOn reports whether a fallback applies to a call that ends by a decision. One that the agent rejects after an attempt has failed is both.
func (c *Call) fallsBackOn(f *Fallback, d RetryDecision) bool {
	exhausted := f.On.RetriesExhausted && c.count > 0
	switch {
	case d == Refused && c.last == BreakerOpen:
		return f.On.CircuitOpen || exhausted
	case d == Refused && (c.last == Overflow || c.last == RateLimited): // the former has begun an attempt
		return f.On.RateLimited || exhausted && c.count > 1
	case c.count == 0: // at a gate, be it for the deadline
		return f.On.RateLimited
	}
	return exhausted
}

// failedBy is what a call has failed by that is not answered with what its attempts have brought: OK stands for a response.
func (c *Call) failedBy(d RetryDecision) Kind {
	if c.last == OK && c.status != 0 {
		return OK
	}
	return c.localKind(d)
}

// forward ends the call with a real response.
func (c *Call) forward(now time.Time, id AttemptID, d RetryDecision) Action {
	a := Action{Do: Forward, Attempt: id, Until: c.timeOf(after(0, c.own.Settings.Timeouts.MaxDuration))}
	a.Cancel = c.dismissLive(now, SetOf(id)) | c.kept&^SetOf(id)
	c.live, c.kept, c.answering = 0, 0, id
	c.record(now, OK, d)
	c.outcome.HedgeWon = c.attempts[id].hedged
	if c.attempts[id].fallback {
		c.outcome.Fallback = FellBackOnDestination
	}
	c.phase = forwarding
	return a
}

// finish ends the call without a response of the upstream's.
func (c *Call) finish(now time.Time, kind Kind, d RetryDecision) {
	c.record(now, kind, d)
	c.phase = ended
	c.leave(now)
}

func (c *Call) record(now time.Time, kind Kind, d RetryDecision) {
	c.outcome = Outcome{
		Kind: kind, Cause: c.last, Decision: d, Status: kind.Status(), GRPCStatus: -1, Attempts: c.count, Took: now.Sub(c.started),
		Unprocessed: !c.reached, Hedges: c.hedges, Refusal: c.refusal, Faults: c.faults,
	}
	switch {
	case kind == OK:
		c.outcome.Status, c.outcome.GRPCStatus = c.status, c.grpc
	case kind == Injected:
		c.outcome.Status = int(c.injected.status)
		if c.request.GRPC {
			c.outcome.GRPCStatus = int(c.injected.grpc)
		}
	case c.request.GRPC && kind == c.last && c.reset > 0:
		c.outcome.GRPCStatus = c.reset
	case c.request.GRPC:
		c.outcome.GRPCStatus = kind.GRPCStatus()
	}
	c.noteEnd(now, Ends)
}

// success is the decision on a call whose response is good enough.
func (c *Call) success() RetryDecision {
	if c.count > 1 || c.route != 0 {
		return Recovered
	}
	return NotNeeded
}

func (c *Call) finished(now time.Time, id AttemptID, e *End) {
	if c.phase != forwarding || id != c.answering {
		return
	}
	c.phase = ended
	c.outcome.Truncated = e.Truncated
	if c.attempts[id].pending {
		c.finishPending(now, id, e)
	}
	c.noteEnd(now, Finishes)
	c.leave(now)
}

// leave gives the places at the gates back, and tells them how the call ended.
func (c *Call) leave(now time.Time) {
	if c.gates == 0 && !c.asked {
		return
	}
	o := &c.outcome
	r := resilience.Result{
		Failed: o.Decision > Recovered || o.Truncated, GivenUp: o.Kind == ClientGone, Shard: c.shard,
		Unstarted: c.count == 0, TimedOut: o.Cause == AttemptTimeout || o.Cause == Deadline,
	}
	if c.gates > 0 {
		r.Took = max(o.Took-c.entered, 0) // the response's body is the client's to take
	}
	if c.asked {
		c.own.Gates[c.gates].Leave(now, &c.waiters[c.gates], r)
	}
	for ; c.gates > 0; c.gates-- {
		c.own.Gates[c.gates-1].Leave(now, &c.waiters[c.gates-1], r)
	}
	c.asked = false
}
