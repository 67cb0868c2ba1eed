package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// The status of a gRPC call comes in the trailers, behind the messages. As long as no message has arrived the response can be kept back,
// so that a call which fails without one can still be retried.

// trailersLimit bounds how long a head is kept back: servers that fail without a message send their trailers with the head, or right behind it,
// and clients of streams may wait for the head alone.
const trailersLimit = 100 * time.Millisecond

// worthAwaiting reports whether trailers that follow a head could still lead to another attempt, or are the result of a probe.
func (c *Call) worthAwaiting(id AttemptID, r *Response) bool {
	if !r.GRPCPending || r.RequestUnfinished {
		return false
	}
	if t := c.attempt(id); t != nil && t.permit.Probe() && len(c.plan.Settings.Breaker.FailureGRPC) > 0 {
		return true
	}
	return !c.interim && c.route == 0 && c.methodAllows() && !c.skips() && !c.bodyGone() && c.retriesGRPC()
}

// retriesGRPC reports whether a gRPC status is among what the policy retries still.
func (c *Call) retriesGRPC() bool {
	r := &c.plan.Settings.Retry
	if len(r.GRPCStatuses) > 0 && r.MaxRetries > c.retries {
		return true
	}
	for i := range r.Overrides {
		if o := &r.Overrides[i]; len(o.GRPCStatuses) > 0 && o.MaxRetries > c.retries {
			return true
		}
	}
	return false
}

// awaitTrailers keeps back the response of an attempt. Its clock has run to here; the call's deadline ends the wait too, by forwarding.
func (c *Call) awaitTrailers(now time.Time, t *attempt, r *Response) Action {
	t.stop(c.offsetOf(now))
	t.answered, t.status = true, r.Status
	t.until, t.limit = min(c.deadline, c.offsetOf(now)+trailersLimit), NoLimit
	a := c.carryOn()
	a.Do = AwaitTrailers
	return a
}

func (c *Call) messageBegun(now time.Time, id AttemptID) Action {
	t := c.attempt(id)
	if t == nil || !t.answered {
		return c.carryOn()
	}
	c.tookAsLong(now, t)
	c.answeredWith(t.status, -1)
	return c.forwardPending(now, id)
}

// forwardPending forwards a response whose status comes in the trailers; Finished says how it ended. A probe has succeeded with it: streams last for
// hours, and others wait for the result.
func (c *Call) forwardPending(now time.Time, id AttemptID) Action {
	t := &c.attempts[id]
	t.stop(c.offsetOf(now))
	if t.probed = t.permit.Probe(); t.probed {
		c.returnPermit(now, t, false)
	}
	return c.forward(now, id, c.success())
}

// finishPending takes in the end of a response whose head did not say how it would end: for the breaker, and for the outcome. What failed after its
// head was forwarded is not retried (rule 11).
func (c *Call) finishPending(now time.Time, id AttemptID, e *End) {
	t := &c.attempts[id]
	if e.ClientGone {
		c.giveUp(now, t)
		return
	}
	o := &c.outcome
	o.GRPCStatus = e.GRPCStatus
	v := classifyResponse(c.plan.Settings, &Response{Status: o.Status, GRPCStatus: e.GRPCStatus})
	if (v.failure || v.retryable) && o.Decision <= Recovered {
		o.Decision = c.tooLate(&v)
	}
	if b := c.plan.Settings.Breaker; b != nil {
		failed := v.breakerFails || e.Truncated && b.FailureOn.Has(policy.Reset)
		if t.probed && failed {
			t.breaker.Note(now, resilience.Result{Failed: true, Took: t.took(c.offsetOf(now)), Shard: c.shard})
		}
		c.returnPermit(now, t, failed)
	}
}

// tooLate is the decision on a failure that followed a head which was forwarded.
func (c *Call) tooLate(v *class) RetryDecision {
	switch {
	case !c.methodAllows():
		return ByMethod
	case v.retryable && c.skips():
		return AlreadyRetried
	case v.retryable && c.retries >= v.limit:
		return Exhausted
	}
	return NotRetryable
}
