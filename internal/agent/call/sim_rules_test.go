package call

import (
	"errors"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// judge checks an Action against the rules, from the oracle's record alone.
func (w *world) judge(s *simCall, now time.Time, a Action, g given) error {
	if a.Cancel != (g.cancel && a.Do != Continue) {
		return fmt.Errorf("cancel is %v", a.Cancel)
	}
	if a.Keep && (g.response == nil || a.Do != Wait && a.Do != StartTry) {
		return errors.New("something is kept that is not a response before a retry")
	}
	switch a.Do {
	case Continue:
		return judgeContinue(s, a, g)
	case StartTry, Wait:
		return w.judgeGoingOn(s, now, a, g)
	case Forward, ForwardKept, Reject, Abort:
		return w.judgeEnd(s, now, a, g)
	}
	return errors.New("no such action")
}

func judgeContinue(s *simCall, a Action, g given) error {
	if g.response != nil || g.failure != nil || g.client || g.over || g.due {
		return errors.New("the event asks for a decision")
	}
	if s.state != simTrying {
		return nil
	}
	if d := s.deadline; !d.IsZero() && (a.Until.IsZero() || a.Until.After(d)) {
		return errors.New("rule 2: the try may last longer than the call")
	}
	t := &s.plan.Settings.Timeouts
	if s.waits.IsZero() { // the client is what is waited for
		if !a.Until.Equal(s.deadline) {
			return errors.New("rule 2: a request on its way is cut before the deadline")
		}
		return nil
	}
	if t.PerTry > 0 && (a.Until.IsZero() || a.Until.After(s.waits.Add(t.PerTry-s.waited))) {
		return errors.New("rule 2: the try may last longer than perTry")
	}
	if h := t.ResponseHeader; h > 0 && !s.written.IsZero() && (a.Until.IsZero() || a.Until.After(s.written.Add(h))) {
		return errors.New("rule 2: the response head is waited for longer than responseHeader")
	}
	return nil
}

// judgeGoingOn judges the start of a try, now or after a wait.
func (w *world) judgeGoingOn(s *simCall, now time.Time, a Action, g given) error {
	r := &s.plan.Settings.Retry
	switch {
	case s.tries == 0 && a.Do == StartTry:
		return w.judgeStart(s, now, a, g)
	case g.timer && !g.due && a.Do == Wait && s.state == simWaiting:
		return nil // came early
	case g.over:
		return errors.New("rule 12: the agent's own rejection is retried")
	case g.client:
		return errors.New("rule 4: retried for a client that is gone")
	case s.interim:
		return errors.New("rule 11: retried after an interim response")
	case g.response != nil && g.response.RequestUnfinished:
		return errors.New("rule 20: an early response is retried")
	case s.arrived && !idempotent(r, s.q):
		return errors.New("rule 7: an unsafe request that may have arrived is repeated")
	case s.unkept:
		return errors.New("rule 18: a body that was not kept is replayed")
	case s.tries > s.plan.limit+1 || s.tries == s.plan.limit+1 && s.stales == 0 && !(g.failure != nil && g.failure.stale()):
		return fmt.Errorf("rule 9: try %d with at most %d retries", s.tries+1, s.plan.limit)
	}
	if a.Do == Wait {
		return judgeWait(s, now, a, g)
	}
	return w.judgeStart(s, now, a, g)
}

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

func judgeWait(s *simCall, now time.Time, a Action, g given) error {
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

func (w *world) judgeStart(s *simCall, now time.Time, a Action, g given) error {
	if !s.deadline.IsZero() && !now.Before(s.deadline) {
		return errors.New("rule 3: a try starts after the deadline")
	}
	if !a.Until.Equal(s.deadline) {
		return errors.New("rule 1: the queue is not bounded by the deadline")
	}
	if s.stales > 0 && !a.Fresh {
		return errors.New("rule 8: after a dead connection another kept one may be taken")
	}
	repair := g.failure != nil && g.failure.stale() && s.stales == 0
	if start := startOf(s, repair); a.Start != start {
		return fmt.Errorf("rule 8: the start is called %v, want %v", a.Start, start)
	}
	if g.open && !repair {
		return errors.New("rule 22: a try starts while the breaker is open")
	}
	if s.tries > 0 && !repair && w.alone {
		return s.plan.judgeBudget(now)
	}
	return nil
}

// startOf is what kind of start the next try is. A dead connection is repaired once, whatever else the policy retries.
func startOf(s *simCall, repair bool) Start {
	switch {
	case s.tries == 0:
		return First
	case repair:
		return Repair
	}
	return Retry
}

// judgeBudget checks rule 13 before the retry that starts now is counted, but for what one slot of the window can hide.
func (p *simPlan) judgeBudget(now time.Time) error {
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

func (w *world) judgeEnd(s *simCall, now time.Time, a Action, g given) error {
	o := s.call.Outcome()
	if !s.call.Ended() {
		return errors.New("the call goes on after its end")
	}
	if o.Tries != s.tries || o.Took != now.Sub(s.began) {
		return errors.New("the outcome miscounts tries or time")
	}
	if (a.Do == Abort) != g.client || g.client != (o.Kind == ClientGone) || g.client != (o.Decision == Abandoned) {
		return errors.New("rule 4: a call ends Abandoned exactly when its client is gone")
	}
	switch a.Do {
	case Forward:
		if g.response == nil || o.Kind != OK || o.Status != g.response.Status {
			return errors.New("rule 10: what is forwarded is not the response just received")
		}
		return judgeForward(s, g, o)
	case ForwardKept:
		if s.kept == 0 || s.kept != s.last || o.Kind != OK || o.Status != s.kept || g.response != nil {
			return errors.New("rule 10: what is forwarded is not the last response")
		}
	case Reject:
		if s.kept != 0 || g.response != nil {
			return errors.New("rule 10: a response is invented though there is a real one")
		}
		if !o.Local() || o.Status != o.Kind.Status() {
			return errors.New("rule 26: a local answer without a status of its own")
		}
	default:
	}
	return w.judgeAfterwards(s, now)
}

func judgeForward(s *simCall, g given, o Outcome) error {
	good := o.Decision == NotNeeded || o.Decision == Recovered
	if good && (o.Decision == Recovered) != (s.tries > 1) {
		return errors.New("rule 9: recovered means that there was a retry")
	}
	if good && g.response.Status >= 500 {
		return errors.New("rule 9: a failed call is called good")
	}
	if !good && g.response.Status < 400 && !g.response.HeaderMatched {
		return errors.New("rule 9: a good call is called failed")
	}
	return nil
}

// judgeAfterwards checks that nothing moves a call that has ended.
func (w *world) judgeAfterwards(s *simCall, now time.Time) error {
	before := s.call.Outcome()
	a := []Action{
		s.call.Timer(now.Add(time.Hour)), s.call.TryFailed(now, Failure{}), s.call.ResponseHead(now, Response{Status: 200}),
		s.call.ClientGone(now), s.call.LocalReject(now, Overflow), s.call.Dispatched(now), s.call.Sending(now), s.call.RequestWritten(now),
	}
	for _, a := range a {
		if a != (Action{}) {
			return fmt.Errorf("rule 11: %+v after the end", a)
		}
	}
	if s.call.Outcome() != before {
		return errors.New("the outcome changed after the end")
	}
	return nil
}
