package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// result is how an attempt ended, for the decision whether another follows.
type result struct {
	class
	response *Response // nil: none came
	unsent   bool      // the attempt provably did not reach the upstream (rule 7)
}

// decide asks, in the order of rule 9, whether an attempt may be followed by another, and after how long. The first question that
// is answered with no is the call's decision; NotNeeded means that all were answered with yes.
func (c *Call) decide(now time.Time, r *result) (time.Duration, RetryDecision) {
	if !r.unsent && !c.methodAllows() {
		return 0, ByMethod
	}
	if !r.retryable || c.interim || c.pushedBack(r.response) {
		return 0, NotRetryable
	}
	if c.skips() {
		return 0, AlreadyRetried
	}
	if b := c.plan.Budget; b != nil && !b.Allows(now) {
		return 0, ByBudget
	}
	delay, ok := c.delay(r)
	if !ok || c.passed(c.deadline, now.Add(delay)) {
		return 0, ByDeadline
	}
	if c.bodyGone() || r.response != nil && r.response.RequestUnfinished {
		return 0, ByBody
	}
	if c.retries >= r.limit || c.route != 0 {
		return 0, Exhausted
	}
	return delay, NotNeeded
}

// methodAllows reports whether the policy lets the request be repeated though it may have arrived.
func (c *Call) methodAllows() bool {
	switch c.own.Settings.Retry.Idempotency {
	case policy.SafeMethods:
		return c.request.Method == Safe
	case policy.IdempotentMethods:
		return c.request.Method != Unsafe
	case policy.IdempotentOrKeyed:
		return c.request.Method != Unsafe || c.request.Keyed
	case policy.AnyMethod:
		return true
	}
	return false
}

// skips reports whether the call is neither retried nor hedged because it has arrived as a retry.
func (c *Call) skips() bool { return c.request.Retried && c.own.Settings.Retry.SkipRetried }

// bodyGone reports whether the request has a body of which a part was sent and not kept.
func (c *Call) bodyGone() bool { return c.request.HasBody && c.lost }

// delay draws the backoff and raises it to what the upstream asked for (rule 14). It says no when that is more
// than the policy honours.
func (c *Call) delay(r *result) (time.Duration, bool) {
	c.drawn = resilience.Delay(r.backoff, c.retries, c.drawn, c.plan.Random())
	wish := &c.plan.Settings.Retry.RetryAfter
	if r.response == nil || !r.response.HasRetryAfter || !wish.Honor {
		return c.drawn, true
	}
	if wish.Max > 0 && r.response.RetryAfter > wish.Max {
		return 0, false
	}
	return max(c.drawn, r.response.RetryAfter), true
}

// pushedBack reports a negative gRPC pushback: the server forbids a retry.
func (c *Call) pushedBack(r *Response) bool {
	return r != nil && r.HasRetryAfter && r.RetryAfter < 0 && c.plan.Settings.Retry.RetryAfter.Honor
}

// retry waits and starts the next attempt then, or starts it at once when there is nothing to wait for.
func (c *Call) retry(now time.Time, delay time.Duration) Action {
	if delay <= 0 {
		return c.startRetry(now)
	}
	c.phase, c.until = waiting, c.offsetOf(now)+delay
	return c.carryOn()
}

// startRetry asks everything that may have changed during the wait once more, and starts the next attempt.
func (c *Call) startRetry(now time.Time) Action {
	if c.passed(c.deadline, now) {
		return c.end(now, ByDeadline)
	}
	p, ok := c.admitted(now)
	if !ok {
		c.decided(BreakerOpen)
		return c.end(now, Refused)
	}
	if !c.takeBudget(now, p) {
		c.note(now, BudgetRefuses, 0)
		return c.end(now, ByBudget)
	}
	c.retries++
	return c.start(now, p, Action{Start: Retry, Avoid: c.plan.Settings.Retry.AvoidPreviousEndpoints, Fresh: c.repaired})
}

// takeBudget counts the start of an attempt that has a permit, which it gives back if the budget is used up.
func (c *Call) takeBudget(now time.Time, p resilience.Permit) bool {
	if c.plan.Budget == nil || c.plan.Budget.Start(now) {
		return true
	}
	if p.Held() {
		c.plan.Breaker.Cancel(p)
	}
	return false
}

// hedge starts another attempt beside those under way, if everything allows it. If not, none is started later either.
func (c *Call) hedge(now time.Time) Action {
	c.hedgeAt = never
	c.note(now, HedgeDue, 0)
	full := c.live|c.kept == 1<<MaxAttempts-1
	if full || !c.methodAllows() || c.skips() || c.interim || c.bodyGone() || c.route != 0 || c.retries >= c.plan.Settings.Retry.MaxRetries {
		return c.notHedged(now)
	}
	p, ok := c.admitted(now)
	if !ok || !c.takeBudget(now, p) {
		return c.notHedged(now)
	}
	c.retries++
	c.hedges++
	return c.start(now, p, Action{Start: Hedged, Avoid: true, Fresh: c.repaired})
}

// notHedged goes on without another attempt.
func (c *Call) notHedged(now time.Time) Action {
	c.note(now, NoHedge, 0)
	return c.carryOn()
}

// waitsForNone reports whether the attempt is given up if there is no place for it: a hedge, or one that a fault has held up until it became as one.
func (t *attempt) waitsForNone() bool { return t.hedged || t.late }

// unplaced gives up a hedge that has not been placed. The others go on, and no further one is started beside them. If all of them have ended
// meanwhile, the call goes on as it would have without the hedge.
func (c *Call) unplaced(now time.Time, id AttemptID) Action {
	t := c.attempt(id)
	if t == nil || t.placed || !t.waitsForNone() {
		return c.carryOn()
	}
	c.note(now, Unplaced, id)
	c.giveBack(t)
	c.over(id)
	if t.hedged {
		if b := c.plan.Budget; b != nil {
			b.Return(c.timeOf(t.begun))
		}
		c.hedges--
		c.retries--
		c.count--
	}
	switch {
	case c.live != 0:
		return c.carryOn()
	case c.without.decision != NotNeeded:
		return c.end(now, c.without.decision)
	case c.passed(c.deadline, now.Add(c.without.delay)):
		return c.end(now, ByDeadline)
	}
	return c.retry(now, c.without.delay)
}

// without is what would follow the end of the last attempt that has a place, if the hedges that have none were not.
type without struct {
	decision RetryDecision
	delay    time.Duration
}

// onlyUnplaced reports whether the attempts under way are hedges that have no place.
func (c *Call) onlyUnplaced() bool {
	for id := range c.live.All() {
		if t := &c.attempts[id]; t.placed || !t.waitsForNone() {
			return false
		}
	}
	return c.live != 0
}

// decideWithout is decide for an attempt after whose end nothing but hedges is under way that may find no place.
func (c *Call) decideWithout(now time.Time, r *result) {
	if !c.onlyUnplaced() {
		return
	}
	hedges := 0
	for id := range c.live.All() {
		if c.attempts[id].hedged {
			hedges++
		}
	}
	c.retries -= hedges
	c.without.delay, c.without.decision = c.decide(now, r)
	c.retries += hedges
}

// repairable reports whether the attempt that met a dead kept-alive connection may be repeated (rule 8). It is the
// pool that failed, not the upstream, so retry.when and maxRetries have no say, and one repair per call is enough: from then
// on the call takes fresh connections.
func (c *Call) repairable(now time.Time, unsent bool) bool {
	return !c.repaired && !c.interim && (unsent || c.methodAllows()) && !c.bodyGone() && !c.passed(c.deadline, now)
}

// repair starts an attempt again under the permit it had, unless that was an endpoint's: it may go to another one. The budget counts it like any start
// of a retry.
func (c *Call) repair(now time.Time, t *attempt) Action {
	c.repaired = true
	if t.breaker != c.plan.Breaker {
		c.giveBack(t)
	}
	if c.plan.Budget != nil {
		c.plan.Budget.Count(now)
	}
	return c.start(now, t.permit, Action{Start: Repair, Fresh: true})
}
