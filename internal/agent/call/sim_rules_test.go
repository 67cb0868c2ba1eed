package call

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// checkAction checks an Action against the rules, from the record alone.
func (w *world) checkAction(s *simCall, now time.Time, a Action, g given) error {
	holds := s.live() | s.kept()
	if a.Cancel&^holds != 0 {
		return errors.New("something is cancelled that is not held")
	}
	if a.Keep && (g.response == nil || a.Do != Wait && a.Do != StartAttempt && a.Do != Continue) {
		return errors.New("something is kept that is not a response before another attempt")
	}
	if a.Keep && holds&^a.Cancel&s.kept() != 0 {
		return errors.New("two responses are kept")
	}
	if err := w.checkAwait(s, now, a, g); err != nil {
		return err
	}
	switch a.Do {
	case AwaitTrailers:
		return nil
	case Continue:
		return s.checkContinue(now, a, g)
	case StartAttempt, Wait, Park:
		return w.checkGoingOn(s, now, a, g)
	case Forward, ForwardKept, Respond, Reject, Abort:
		return w.checkEnd(s, now, a, g)
	}
	return errors.New("no such action")
}

func (s *simCall) checkContinue(now time.Time, a Action, g given) error {
	left := s.live() &^ a.Cancel
	if g.response != nil {
		left &^= SetOf(g.id)
	}
	due := AttemptSet(0)
	if g.timer {
		due = s.due(now)
	}
	switch {
	case s.state != simTrying || left == 0:
		return errors.New("there is nothing to go on with")
	case g.client:
		return errors.New("rule 4: the call goes on for a client that is gone")
	case g.response != nil && !a.Keep:
		return errors.New("rule 17: a response is dropped")
	case g.interim && bits.OnesCount8(uint8(left)) != 1:
		return errors.New("rule 11: two attempts are under way of which one has been forwarded in part")
	case !g.interim && a.Cancel&s.live() != due&a.Cancel:
		return errors.New("an attempt is cancelled without a reason")
	case due != 0 && a.Cancel == 0, g.timer && !s.deadline.IsZero() && !now.Before(s.deadline):
		return errors.New("rules 1 and 2: an attempt goes on after its time")
	}
	return nil
}

// checkGoingOn checks the start of an attempt, now or after a wait.
func (w *world) checkGoingOn(s *simCall, now time.Time, a Action, g given) error {
	left := s.live() &^ a.Cancel
	if g.response != nil {
		left &^= SetOf(g.id)
	}
	switch {
	case g.client:
		return errors.New("rule 4: retried for a client that is gone")
	case (left != 0) != (a.Do == StartAttempt && a.Start == Hedged):
		return errors.New("rule 17: only hedges start beside others")
	case a.Do == StartAttempt && a.Start == FallbackStart:
		return w.checkFallen(s, now, a, g)
	case s.count == 0 && a.Do == StartAttempt:
		return w.checkStart(s, now, a, g)
	case s.count == 0:
		return s.checkGate(a)
	case a.Do == Park:
		return errors.New("parked after the first attempt")
	case g.timer && a.Do == Wait && s.state == simWaiting && now.Before(s.until):
		return nil // came early
	}
	if err := w.checkAgain(s, a, g); err != nil {
		return err
	}
	if a.Do == Wait {
		return checkWait(s, now, a, g)
	}
	return w.checkStart(s, now, a, g)
}

func (s *simCall) checkGate(a Action) error {
	if len(s.plan.Gates) == 0 {
		return errors.New("waits without a gate")
	}
	if !s.deadline.IsZero() && (a.Until.IsZero() || a.Until.After(s.deadline) || a.Do == Wait && a.Until.Equal(s.deadline)) {
		return errors.New("rule 1: a gate is waited at beyond the deadline")
	}
	return nil
}

// checkAgain checks that another attempt may follow at all.
func (w *world) checkAgain(s *simCall, a Action, g given) error {
	again := s.starts[Retry] + s.starts[Hedged]
	repair := a.Do == StartAttempt && a.Start == Repair
	arrived := s.arrived
	for id := range s.live().All() {
		arrived = arrived || s.attempts[id].sent
	}
	switch {
	case s.fellBack && !repair:
		return errors.New("the fallback's attempt is not the last")
	case g.over:
		return errors.New("rule 12: the agent's own rejection is retried")
	case s.interim:
		return errors.New("rule 11: retried after an interim response")
	case g.response != nil && g.response.RequestUnfinished:
		return errors.New("rule 20: an early response is retried")
	case arrived && !idempotent(&s.plan.Settings.Retry, s.q):
		return errors.New("rule 7: an unsafe request that may have arrived is repeated")
	case s.unkept:
		return errors.New("rule 18: a body that was not kept is replayed")
	case !repair && s.skips():
		return errors.New("a call that has arrived as a retry is retried")
	case !repair && again >= s.plan.limit:
		return fmt.Errorf("rule 9: %d retries and hedges, at most %d", again+1, s.plan.limit)
	}
	return nil
}

func (s *simCall) skips() bool { return s.q.Retried && s.plan.Settings.Retry.SkipRetried }

func idempotent(r *policy.Retry, q Request) bool {
	switch r.Idempotency {
	case policy.SafeMethods:
		return q.Method == Safe
	case policy.IdempotentMethods:
		return q.Method == Safe || q.Method == Idempotent
	case policy.IdempotentOrKeyed:
		return q.Method == Safe || q.Method == Idempotent || q.Keyed
	default:
		return true
	}
}

func checkWait(s *simCall, now time.Time, a Action, g given) error {
	wait := a.Until.Sub(now)
	if !s.deadline.IsZero() && !a.Until.Before(s.deadline) {
		return errors.New("rule 3: the wait passes the deadline")
	}
	r := &s.plan.Settings.Retry
	longest := longestBackoff(&r.Backoff)
	for i := range r.Overrides {
		longest = max(longest, longestBackoff(&r.Overrides[i].Backoff))
	}
	if g.response != nil && g.response.HasRetryAfter && r.RetryAfter.Honor {
		asked := g.response.RetryAfter
		if wait < asked {
			return errors.New("rule 14: the wait is shorter than Retry-After")
		}
		if r.RetryAfter.Max > 0 && asked > r.RetryAfter.Max {
			return errors.New("rule 14: Retry-After beyond retryAfter.max is waited for")
		}
		longest = max(longest, asked)
	}
	if g.unplaced { // it is the end of another attempt that it follows
		longest = max(longest, s.asked)
	}
	if wait <= 0 || wait > longest {
		return fmt.Errorf("rule 15: a wait of %v, at most %v", wait, longest)
	}
	return nil
}

func longestBackoff(b *policy.Backoff) time.Duration {
	switch b.Jitter {
	case policy.JitterAdditive, policy.JitterProportional:
		return b.Max + b.Max*time.Duration(b.JitterPercent)/100 + 1
	default:
		return b.Max
	}
}

func (w *world) checkStart(s *simCall, now time.Time, a Action, g given) error {
	if err := s.checkSlot(now, a); err != nil {
		return err
	}
	if (s.starts[Repair] > 0 || a.Start == Repair) && !a.Fresh {
		return errors.New("rule 8: after a dead connection another kept one may be taken")
	}
	if g.open && a.Start != Repair {
		return errors.New("rule 22: an attempt starts while the breaker is open")
	}
	switch a.Start {
	case First:
		if s.count > 0 {
			return errors.New("a second attempt is called the first")
		}
		return nil
	case Repair:
		if s.starts[Repair] > 0 || g.failure == nil || !g.failure.stale() {
			return errors.New("rule 8: what is called a repair is none")
		}
		return nil
	case Hedged:
		if err := s.checkHedge(a); err != nil {
			return err
		}
	case Retry:
		if g.failure != nil && g.failure.stale() && s.starts[Repair] == 0 {
			return errors.New("rule 8: a repair is called a retry")
		}
	case FallbackStart, StartCount:
		return errors.New("no such start")
	}
	if w.alone {
		return s.plan.checkBudget(now)
	}
	return nil
}

func (s *simCall) checkSlot(now time.Time, a Action) error {
	if !s.deadline.IsZero() && !now.Before(s.deadline) {
		return errors.New("rule 3: an attempt starts after the deadline")
	}
	if a.Attempt >= MaxAttempts || ((s.live() | s.kept()) &^ a.Cancel).Has(a.Attempt) {
		return errors.New("the new attempt has the id of another that is held")
	}
	return nil
}

func (s *simCall) checkHedge(a Action) error {
	h := &s.plan.Hedge
	switch {
	case s.starts[Hedged] >= h.Max:
		return errors.New("rule 17: one hedge too many")
	case !idempotent(&s.plan.Settings.Retry, s.q) || s.q.HasBody && (!s.whole || s.unkept):
		return errors.New("rule 17: hedged though it could not be retried")
	case s.beingSent():
		return errors.New("rule 17: hedged while the request is on its way")
	case !a.Avoid:
		return errors.New("rule 17: the hedge may meet the endpoint that is slow")
	}
	return nil
}

// checkFallen checks the one attempt on the fallback's route.
func (w *world) checkFallen(s *simCall, now time.Time, a Action, g given) error {
	f := s.plan.Fallback
	switch {
	case f == nil || f.Plan == nil || a.Route != 1:
		return errors.New("falls back on nothing")
	case s.fellBack:
		return errors.New("falls back twice")
	case s.interim || s.unkept:
		return errors.New("rules 11 and 18: falls back though the request cannot be sent again")
	case s.arrived && !idempotent(&s.plan.Settings.Retry, s.q):
		return errors.New("rule 7: an unsafe request that may have arrived is repeated")
	case g.fallOpen:
		return errors.New("rule 22: falls back on an open breaker")
	}
	return s.checkSlot(now, a)
}

// checkBudget checks rule 13 before the retry that starts now is counted, but for what one slot of the window can hide.
func (p *simPlan) checkBudget(now time.Time) error {
	if p.Budget == nil {
		return nil
	}
	b := p.Settings.Retry.Budget
	p.calls, p.retries = since(p.calls, now.Add(-b.Window)), since(p.retries, now.Add(-b.Window))
	inside := len(since(p.retries, now.Add(-b.Window*19/20)))
	if limit := max(len(p.calls)*b.Percent/100, b.MinPerSecond*int(b.Window/time.Second)); inside >= limit {
		return fmt.Errorf("rule 13: retry %d of %d in %v", inside+1, limit, b.Window)
	}
	return nil
}

// since returns the times after t; times are sorted.
func since(times []time.Time, t time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(t) {
		times = times[1:]
	}
	return times
}
