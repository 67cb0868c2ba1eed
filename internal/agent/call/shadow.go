package call

import "time"

// Divergence is the first decision in which a shadow differed from the call that it followed.
type Divergence struct {
	// Would is what it comes to.
	Would Would
	// Do is what the shadow wanted done, and Start what kind of attempt, if it wanted one started.
	Do    Do
	Start Start
	// Outcome is how the shadow's call ended; only if it did.
	Outcome Outcome
	// Limit is the one that has passed; only if time has.
	Limit Limit
	// After is how long the call had lasted.
	After time.Duration
}

// Divergence tells how the plan's Shadow differed, if it did. It is valid from the end of the call to the next Begin.
func (c *Call) Divergence() (d Divergence, ok bool) { return c.divergence, c.diverged }

// beginShadow has a second Call decide beside this one, under its own plan. It sees the same events and is not obeyed; once it
// differs the events are no longer those of its decisions, so it is detached.
func (c *Call) beginShadow(now time.Time, a Action, p *Plan, r Request) {
	if c.shadow == nil {
		c.shadow = &Call{}
	}
	s := c.shadow
	if c.faults.Any() || a.Do == Inject {
		return
	}
	c.shadowed = true
	r.Keyed = r.ShadowKeyed
	s.open(now, p, r)
	b, passed := s.passGates(now)
	switch {
	case passed:
		s.until, s.parked = never, false
		c.compareEntry(now, a)
	case s.phase == entering && c.phase == entering:
		c.lose(now) // both wait, each at a gate of its own: a shadow cannot
	default:
		c.compare(now, a, b)
	}
}

// compareEntry compares what becomes of the call at its gates with what becomes of the shadow, which has passed its own. It waits with the call at a gate
// that decides for both, and would not wait at another.
func (c *Call) compareEntry(now time.Time, a Action) {
	s := c.shadow
	switch {
	case !c.shadowed: // lost meanwhile
	case c.phase == entering && s.own.Alike.Gates&(1<<c.gates) != 0:
	case c.decidedForBoth():
		c.lose(now)
	case c.Ended() && c.last == Deadline:
		if b := s.timer(now); b.Do == Reject || b.Do == Respond {
			c.compare(now, a, b)
		} else {
			c.lose(now) // at a gate that it would not pass either
		}
	default:
		c.compare(now, a, s.letIn(now))
	}
}

// decidedForBoth reports whether the call was refused by what decides for its shadow too.
func (c *Call) decidedForBoth() bool {
	alike := &c.shadow.own.Alike
	switch c.last {
	case RateLimited:
		return alike.Gates&(1<<c.refusal.Gate) != 0
	case BreakerOpen:
		return alike.Breaker
	default:
		return false
	}
}

// lose detaches a shadow of which nothing more can be known. It has not differed.
func (c *Call) lose(now time.Time) {
	c.shadowed = false
	c.shadow.release(now)
}

// release has a shadow give back what it holds.
func (c *Call) release(now time.Time) {
	if c.Ended() {
		c.finished(now, c.answering, &End{ClientGone: true, GRPCStatus: -1})
		return
	}
	c.clientGone(now)
}

// follower returns the shadow, if it has decided the same so far. A deadline that only the shadow has passes now.
func (c *Call) follower(now time.Time) *Call {
	if !c.shadowed {
		return nil
	}
	s := c.shadow
	if due := s.wakesAt(); due < c.wakesAt() && c.passed(due, now) {
		limit := s.passing(due)
		if b := s.timer(s.timeOf(due)); b.Do != Continue {
			c.detach(now, b, s.wouldInTime(b))
			c.divergence.Limit, c.divergence.After = limit, due
			return nil
		}
	}
	return s
}

// passing is the limit that passes at a time.
func (c *Call) passing(due offset) Limit {
	if c.phase == trying {
		for id := range c.live.All() {
			if t := &c.attempts[id]; t.until == due {
				return t.limit
			}
		}
		return NoLimit
	}
	return c.deadlineLimit
}

// wakesAt is when Timer is due.
func (c *Call) wakesAt() offset {
	switch c.phase {
	case waiting:
		return c.until
	case entering:
		return min(c.until, c.deadline)
	case trying:
		return c.horizon()
	case ended, forwarding:
	}
	return never
}

// compare detaches a shadow that decides differently.
func (c *Call) compare(now time.Time, a, b Action) {
	s := c.shadow
	same := a.Do == b.Do && a.Attempt == b.Attempt && a.Start == b.Start && a.Route == b.Route && a.Keep == b.Keep && a.Cancel == b.Cancel
	switch {
	case !c.shadowed: // lost meanwhile
	case c.phase == entering && s.phase == entering: // and nothing is decided
	case !same && c.decidedForBoth():
		c.lose(now)
	case !same, c.Ended() && c.outcome.Kind != s.outcome.Kind:
		c.detach(now, b, c.would(a, b))
	case c.Ended() && c.outcome.Decision != s.outcome.Decision: // for other reasons, and the response may have an end still
		c.diverge(now, b, WouldSame)
	case a.Do == Wait: // both wait; how long is drawn at random
		s.until = c.until
	}
}

// diverge notes what the shadow wants done.
func (c *Call) diverge(now time.Time, b Action, w Would) {
	c.diverged = true
	c.divergence = Divergence{Would: w, Do: b.Do, Start: b.Start, After: now.Sub(c.started)}
	if c.shadow.Ended() {
		c.divergence.Outcome = c.shadow.outcome
	}
}

// detach notes what the shadow wants done and lets go of it. A retry that it waits to start counts for its budget.
func (c *Call) detach(now time.Time, b Action, w Would) {
	s := c.shadow
	c.shadowed = false
	c.diverge(now, b, w)
	if s.phase == waiting && s.plan.Budget != nil {
		s.plan.Budget.Start(now)
	}
	s.release(now)
}

// finishShadow has the response's end happen to the shadow too, unless its time was over before.
func (c *Call) finishShadow(now time.Time, id AttemptID, e *End) {
	if c.phase != forwarding || id != c.answering {
		return
	}
	s := c.shadow
	most := after(0, s.own.Settings.Timeouts.MaxDuration)
	if s.phase == forwarding && s.passed(most, now) && most < after(0, c.own.Settings.Timeouts.MaxDuration) {
		c.diverge(now, Action{Do: Abort}, WouldEnd)
		c.divergence.Limit, c.divergence.After = LimitMaxDuration, most
	}
	c.shadowed = false
	s.finished(now, id, e)
}
