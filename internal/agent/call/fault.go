package call

import (
	"math/bits"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// A fault of the plan's (Plan.Faults) meets an attempt before the driver hears of it: it is held up, which its clock counts, and then starts or is
// aborted. What follows is decided as if the upstream had done it; the driver reports it under a name of its own (Inject), so that nobody takes it
// for the upstream's.

// Faults are injected into a share of the attempts of calls.
type Faults struct {
	*policy.Faults
	// Ends is when it ends, by the clock that nobody sets. Until says it by the node's: whichever comes first counts.
	Ends time.Time
}

// FaultCounts are the faults that a call has met.
type FaultCounts struct{ Delays, Responses, Resets uint8 }

// Any reports whether there are any.
func (n *FaultCounts) Any() bool { return *n != FaultCounts{} }

// Fault is what a fault has made of an attempt.
type Fault struct {
	// Kind is Injected, or AttemptTimeout if its time passed while it was held up.
	Kind Kind
	// Status is that of the answer; 0: there is none. GRPCStatus is that of a gRPC call, or -1.
	Status, GRPCStatus int
	Took               time.Duration
}

// injected is an injected answer, as it is answered with.
type injected struct {
	status int16
	grpc   int8
}

// Beside reports whether other attempts are under way, beside which StartAttempt starts one. It waits for no place then: report Unplaced if there is none.
func (c *Call) Beside(id AttemptID) bool { return c.attempts[id%MaxAttempts].beside }

// strikes draws whether a fault meets an attempt that starts now. f may be nil.
//
//go:noinline
func (f *Faults) strikes(now time.Time, random func() float64) bool {
	return f != nil && (f.Delay > 0 || f.Abort != policy.NoFaultAbort) && !f.over(now) && 100*random() < float64(f.Percent)
}

// over reports whether their end has come, by either clock.
func (f *Faults) over(now time.Time) bool { return !now.Before(f.Ends) || now.Unix() >= f.Until }

// left is how long it is to their end, by the clock that says the sooner one.
func (f *Faults) left(now time.Time) time.Duration { return min(f.Ends.Sub(now), f.End().Sub(now)) }

// delay draws how long an attempt is held up.
func (f *Faults) delay(random func() float64) time.Duration {
	if f.Delay <= 0 || f.JitterPercent <= 0 {
		return f.Delay
	}
	spread := float64(f.Delay) * float64(f.JitterPercent) / 100
	return f.Delay + time.Duration(spread*(2*random()-1))
}

// strike has a fault meet the attempt that an action starts.
//
//go:noinline
func (c *Call) strike(now time.Time, a Action) Action {
	if c.shadowed {
		c.lose(now) // what it would have done with what has not happened is not known
	}
	f, t := c.plan.Faults, &c.attempts[a.Attempt]
	t.abort, t.start, t.avoid, t.fresh = f.Abort, a.Start, a.Avoid, a.Fresh
	if f.Delay <= 0 {
		c.note(now, Faulted, a.Attempt)
		a.Do = Inject
		return a
	}
	c.faults.Delays++
	t.held, t.running = true, c.offsetOf(now)
	t.release = t.running + min(f.delay(c.plan.Random), f.left(now))
	var limit Limit
	t.perTry, limit = c.perTry()
	t.bound(after(t.running, t.perTry), limit)
	c.note(now, Faulted, a.Attempt)
	if !c.request.HasBody {
		c.armHedge(t.running)
	}
	next := c.carryOn()
	next.Cancel = a.Cancel
	return next
}

// resume has an attempt start, or be aborted, that was held up. Its clock stands until it is placed. Once the faults have ended nothing is aborted.
//
//go:noinline
func (c *Call) resume(now time.Time, id AttemptID) Action {
	t := &c.attempts[id]
	t.held, t.late = false, true
	t.stop(c.offsetOf(now))
	t.until, t.limit = c.deadline, c.deadlineLimit
	a := Action{Do: StartAttempt, Attempt: id, Start: t.start, Avoid: t.avoid, Fresh: t.fresh, Route: c.route}
	t.beside = c.hasOthers(id)
	if t.abort != policy.NoFaultAbort && !c.plan.Faults.over(now) {
		a.Do = Inject
		return a
	}
	a.Until = c.timeOf(c.horizon())
	return a
}

// Fault tells what a fault has made of an attempt; see Inject.
func (c *Call) Fault(now time.Time, id AttemptID) Fault {
	t := &c.attempts[id%MaxAttempts]
	f := Fault{Kind: Injected, GRPCStatus: -1, Took: t.took(c.offsetOf(now))}
	switch {
	case t.held:
		f.Kind = AttemptTimeout
	case t.abort == policy.FaultResponse:
		f.Status = c.plan.Faults.Status
		if c.request.GRPC {
			f.Status, f.GRPCStatus = 200, int(c.plan.Faults.GRPCStatus)
		}
	}
	return f
}

// Injected tells that what a fault has made of an attempt was reported (Inject).
func (c *Call) Injected(now time.Time, id AttemptID) Action {
	t := c.attempt(id)
	switch {
	case t == nil || t.placed:
		return c.carryOn()
	case t.held:
		return c.attemptFailed(now, id, &Failure{Kind: AttemptTimeout})
	case t.abort == policy.FaultReset:
		c.faults.Resets++
		c.injected = injected{int16(Injected.Status()), int8(Injected.GRPCStatus())}
		return c.attemptFailed(now, id, &Failure{Kind: Reset, injected: true})
	}
	c.faults.Responses++
	return c.injectedResponse(now, id, t)
}

// injectedResponse decides what follows an answer that stands in for an attempt. It was no upstream's, so it is not kept: the last one is answered with.
func (c *Call) injectedResponse(now time.Time, id AttemptID, t *attempt) Action {
	f := c.Fault(now, id)
	r := Response{Status: f.Status, GRPCStatus: f.GRPCStatus}
	v := result{class: classifyResponse(c.plan.Settings, &r), response: &r}
	c.injected = injected{int16(c.plan.Faults.Status), int8(c.plan.Faults.GRPCStatus)}
	c.decided(Injected)
	c.reached = true
	dropped := c.kept
	c.kept = 0
	c.over(id)
	c.returnPermit(now, t, v.breakerFails)
	a := c.afterInjected(now, &v)
	a.Cancel |= dropped
	return a
}

func (c *Call) afterInjected(now time.Time, v *result) Action {
	switch {
	case !v.failure && !v.retryable:
		a := Action{Do: Reject, Cancel: c.dismiss(now)}
		c.finish(now, Injected, c.success())
		return a
	case c.live != 0 && v.retryable && !c.interim:
		c.decideWithout(now, v)
		return c.carryOn()
	}
	return c.retryOrEnd(now, v)
}

// isHeld reports whether all that is under way is held up, so that the driver has nothing to do.
func (c *Call) isHeld() bool {
	for s := c.live; s != 0; s &= s - 1 {
		if !c.attempts[bits.TrailingZeros8(uint8(s))].held {
			return false
		}
	}
	return c.live != 0
}

// hasOthers reports whether the driver has another attempt than one.
func (c *Call) hasOthers(id AttemptID) bool {
	for s := c.live &^ SetOf(id); s != 0; s &= s - 1 {
		if !c.attempts[bits.TrailingZeros8(uint8(s))].held {
			return true
		}
	}
	return false
}

// heldUntil is when something is to be done with an attempt that is held up: never while another is being placed or sent, which is not interrupted.
func (c *Call) heldUntil() offset {
	first := never
	for s := c.live; s != 0; s &= s - 1 {
		t := &c.attempts[bits.TrailingZeros8(uint8(s))]
		switch {
		case t.held:
			first = min(first, t.release, t.until)
		case !t.placed || t.beingSent():
			return never
		}
	}
	return first
}

// heldDue returns an attempt that was held up long enough.
func (c *Call) heldDue(now time.Time) (AttemptID, bool) {
	for id := range c.live.All() {
		if t := &c.attempts[id]; t.held && c.passed(t.release, now) {
			return id, true
		}
	}
	return 0, false
}
