package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// startTry has the driver start a try that has been admitted.
func (c *Call) startTry(a Action) Action {
	c.tries++
	c.phase = queued
	c.spent, c.running = 0, time.Time{}
	c.until, c.limit = c.deadline, c.binding
	a.Do, a.Until = StartTry, c.until
	return a
}

// retry waits and starts the next try then, or starts it at once when there is nothing to wait for.
func (c *Call) retry(now time.Time, delay time.Duration) Action {
	if delay <= 0 {
		return c.startRetry(now)
	}
	c.phase, c.until, c.limit = waiting, now.Add(delay), NoLimit
	return c.carryOn()
}

// startRetry asks everything that may have changed during the wait once more, and starts the next try.
func (c *Call) startRetry(now time.Time) Action {
	if passed(c.deadline, now) {
		return c.end(now, ByDeadline)
	}
	if !c.admitted(now) {
		return c.end(now, Refused)
	}
	if c.plan.Budget != nil && !c.plan.Budget.Start(now) {
		c.giveBack()
		return c.end(now, ByBudget)
	}
	c.retries++
	return c.startTry(Action{Start: Retry, Avoid: c.plan.Settings.Retry.AvoidPreviousEndpoints, Fresh: c.repaired})
}

// repairable reports whether the try that met a dead kept-alive connection may be repeated (rule 8). It is the
// pool that failed, not the upstream, so retry.when and maxRetries have no say, and one repair per call is enough: from then
// on the call takes fresh connections.
func (c *Call) repairable(now time.Time, f *Failure) bool {
	return !c.repaired && !c.forwarded && (f.unsent() || c.methodAllows()) && !c.bodyGone() && !passed(c.deadline, now)
}

// repair starts the try again under the permit it has. The budget counts it like any start of a retry.
func (c *Call) repair(now time.Time) Action {
	c.repaired = true
	if c.plan.Budget != nil {
		c.plan.Budget.Count(now)
	}
	return c.startTry(Action{Start: Repair, Fresh: true})
}

// cut ends a try, and the call, because the overall deadline has passed. The breaker hears of it as of a try that timed out
// if the upstream had all the time that the policy allows: then the try was the first, it was the upstream that was waited for, and
// the deadline is not the client's own.
func (c *Call) cut(now time.Time) Action {
	c.last.Kind = Deadline
	b := c.plan.Settings.Breaker
	if b != nil && b.FailureOn.Has(policy.PerTryTimeout) && c.tries == 1 && c.binding != LimitClient && !c.running.IsZero() {
		c.settle(now, true)
	}
	c.giveBack()
	return cancelling(c.end(now, ByDeadline))
}

// admitted asks the breaker for a permit.
func (c *Call) admitted(now time.Time) bool {
	if c.plan.Breaker == nil {
		return true
	}
	p, ok := c.plan.Breaker.Allow(now)
	if !ok {
		c.last = Failure{Kind: BreakerOpen}
		return false
	}
	c.permit = p
	return true
}

// settle gives the permit back with the try's result.
func (c *Call) settle(now time.Time, failed bool) {
	if !c.permit.Held() {
		return
	}
	c.plan.Breaker.Done(now, c.permit, resilience.Result{Failed: failed, Took: c.took(now)})
	c.permit = resilience.Permit{}
}

// giveUp gives the permit back, if it is still held, because nobody waits for the try any more. The breaker hears of one that has
// been slow already: callers that lose patience would hide it otherwise (rule 4).
func (c *Call) giveUp(now time.Time) {
	b := c.plan.Settings.Breaker
	if c.permit.Held() && b.SlowCalls != nil && c.took(now) > b.SlowCalls.Threshold {
		c.plan.Breaker.Done(now, c.permit, resilience.Result{GivenUp: true, Took: c.took(now)})
		c.permit = resilience.Permit{}
	}
	c.giveBack()
}

// giveBack gives the permit back without a verdict, if it is still held.
func (c *Call) giveBack() {
	if c.permit.Held() {
		c.plan.Breaker.Cancel(c.permit)
		c.permit = resilience.Permit{}
	}
}

// end answers the client with the last real response, or with a local one if there was none (rules 3 and 10).
func (c *Call) end(now time.Time, fate RetryDecision) Action {
	if c.kept {
		a := c.forward(now, fate)
		a.Do = ForwardKept
		return a
	}
	kind := c.last.Kind
	if fate == ByDeadline {
		kind = Deadline
	}
	c.finish(now, kind, fate)
	return Action{Do: Reject}
}

// forward ends the call with a real response.
func (c *Call) forward(now time.Time, fate RetryDecision) Action {
	c.finish(now, OK, fate)
	return Action{Do: Forward, Until: after(c.started, c.plan.Settings.Timeouts.MaxDuration)}
}

func (c *Call) finish(now time.Time, kind Kind, fate RetryDecision) {
	c.phase, c.until = ended, time.Time{}
	c.outcome = Outcome{Kind: kind, Cause: c.last.Kind, Decision: fate, Status: kind.Status(), Tries: c.tries, Took: now.Sub(c.started)}
	if kind == OK {
		c.outcome.Status = c.status
	}
	if kind == ClientGone {
		c.outcome.Cause = ClientGone
	}
}

// success is the fate of a call whose response is good enough.
func (c *Call) success() RetryDecision {
	if c.tries > 1 {
		return Recovered
	}
	return NotNeeded
}

// carryOn repeats what the driver is doing already.
func (c *Call) carryOn() Action {
	if c.phase == waiting {
		return Action{Do: Wait, Until: c.until}
	}
	return Action{Do: Continue, Until: c.until}
}

// cancelling adds to an action that the try under way is to be abandoned.
func cancelling(a Action) Action {
	a.Cancel = true
	return a
}
