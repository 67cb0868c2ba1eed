package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// enter asks the gates, from the first that the call has not passed, and starts the first attempt behind the last.
func (c *Call) enter(now time.Time) Action {
	if a, passed := c.passGates(now); !passed {
		return a
	}
	return c.letIn(now)
}

// passGates asks the gates, from the first that the call has not passed. Where one does not let it pass, a says what becomes of the call.
func (c *Call) passGates(now time.Time) (a Action, passed bool) {
	for c.gates < len(c.own.Gates) {
		e := c.own.Gates[c.gates].Enter(now, c.waiter())
		switch e.Verdict {
		case resilience.Pass:
			c.noteGate(now, GatePassed, 0)
			c.asked = false
			c.gates++
			c.entered = c.offsetOf(now)
		case resilience.Wait, resilience.Park:
			c.asked, c.parked, c.until = true, e.Verdict == resilience.Park, never
			if !e.Until.IsZero() {
				c.until = c.offsetOf(e.Until)
			}
			passes := c.passes(&e)
			c.noteGate(now, GateWaits, passes-c.offsetOf(now))
			if c.deadline <= passes { // as in rule 3: what does not fit is not waited for
				return c.limited(now, passes-c.offsetOf(now)), false
			}
			return c.carryOn(), false
		case resilience.Refuse:
			c.asked = false
			return c.limited(now, e.RetryAfter), false
		}
	}
	return Action{}, true
}

// letIn starts the first attempt of a call that has passed all gates.
func (c *Call) letIn(now time.Time) Action {
	p, ok := c.admitted(now)
	if !ok {
		return c.refuse(now, BreakerOpen)
	}
	if b := c.plan.Budget; b != nil { // not before: what is not let in would be let in as retries of others
		b.Call(now, c.shard)
	}
	return c.start(now, p, Action{})
}

// passes is when a call that waits at a gate will pass it, as far as that is known. That which is not known is hoped for.
func (c *Call) passes(e *resilience.Entry) offset {
	switch {
	case e.Verdict == resilience.Wait:
		return c.until
	case e.Expected.IsZero():
		return 0
	}
	return c.offsetOf(e.Expected)
}

// limited ends a call that a gate does not let in, and would after a time.
func (c *Call) limited(now time.Time, retryAfter time.Duration) Action {
	c.refusal = Refusal{Gate: c.gates, RetryAfter: retryAfter}
	c.noteGate(now, GateRefuses, retryAfter)
	return c.refuse(now, RateLimited)
}

// refuse ends a call that is not let in.
func (c *Call) refuse(now time.Time, kind Kind) Action {
	c.decided(kind)
	return c.end(now, Refused)
}

// waiter is the call at the gate that it has come to. Gates know waiters by their addresses, so these do not move.
func (c *Call) waiter() *resilience.Waiter {
	if n := len(c.own.Gates); len(c.waiters) < n {
		c.waiters = make([]resilience.Waiter, n)
	}
	w := &c.waiters[c.gates]
	if !c.asked { // else the gate has it already, and reads it whenever a place becomes free
		w.Wake = c.OnWake
	}
	return w
}

func (c *Call) woken(now time.Time) Action {
	switch {
	case c.phase != entering || !c.parked:
		return c.carryOn()
	case c.passed(c.deadline, now):
		return c.expire(now)
	}
	return c.enter(now)
}
