package call

import "time"

// Divergence is the first decision in which a shadow differed from the call that it followed.
type Divergence struct {
	// Do is what the shadow wanted done, and Start what kind of attempt, if it wanted one started.
	Do    Do
	Start Start
	// Outcome is how the shadow's call ended; only if it did.
	Outcome Outcome
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
	c.shadowed = true
	c.compare(now, a, c.shadow.begin(now, p, r))
}

// follower returns the shadow, if it has decided the same so far. A deadline that only the shadow has passes now.
func (c *Call) follower(now time.Time) *Call {
	if !c.shadowed {
		return nil
	}
	s := c.shadow
	if due := s.wakesAt(); due < c.wakesAt() && c.passed(due, now) {
		if b := s.timer(s.timeOf(due)); b.Do != Continue {
			c.detach(now, b)
			return nil
		}
	}
	return s
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
	if !same || c.Ended() && (c.outcome.Kind != s.outcome.Kind || c.outcome.Decision != s.outcome.Decision) {
		c.detach(now, b)
		return
	}
	if a.Do == Wait { // both wait; how long is drawn at random
		s.until = c.until
	}
}

func (c *Call) detach(now time.Time, b Action) {
	s := c.shadow
	c.shadowed, c.diverged = false, true
	c.divergence = Divergence{Do: b.Do, Start: b.Start, After: now.Sub(c.started)}
	if s.Ended() {
		c.divergence.Outcome = s.outcome
		s.finished(now, s.answering, &End{ClientGone: true, GRPCStatus: -1})
		return
	}
	s.clientGone(now)
}
