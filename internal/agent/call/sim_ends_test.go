package call

import (
	"errors"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func (w *world) checkEnd(s *simCall, now time.Time, a Action, g given) error {
	o := s.call.Outcome()
	if !s.call.Ended() {
		return errors.New("the call goes on after its end")
	}
	if o.Attempts != s.count || o.Took != now.Sub(s.began) {
		return errors.New("the outcome miscounts attempts or time")
	}
	if (a.Do == Abort) != g.client || g.client != (o.Kind == ClientGone) || g.client != (o.Decision == Abandoned) {
		return errors.New("rule 4: a call ends Abandoned exactly when its client is gone")
	}
	arrived := s.arrived
	for id := range s.live().All() {
		arrived = arrived || s.attempts[id].sent
	}
	if o.Unprocessed && arrived {
		return errors.New("rule 7: a request that may have arrived is called unprocessed")
	}
	left := (s.live() | s.kept()) &^ a.Cancel
	if answers := a.Do == Forward || a.Do == ForwardKept; left != 0 && !answers || answers && left != SetOf(a.Attempt) {
		return errors.New("something is held after the end")
	}
	if a.Do != Abort && o.Decision > Recovered {
		if err := s.checkFallbackUsed(a); err != nil {
			return err
		}
	}
	return s.checkAnswer(now, a, g)
}

// checkFallbackUsed checks that a fallback that could answer does.
func (s *simCall) checkFallbackUsed(a Action) error {
	f := s.plan.Fallback
	if could := f != nil && f.Plan == nil && !s.interim && appliesTo(f.On, s.call.Outcome()); could != (a.Do == Respond) {
		return errors.New("the fallback answers, or does not")
	}
	return nil
}

// appliesTo reports whether a fallback applies to a call that has failed.
func appliesTo(on policy.FallbackOn, o Outcome) bool {
	if o.Decision != Refused {
		return o.Attempts > 0 && on.RetriesExhausted || o.Attempts == 0 && on.RateLimited
	}
	switch o.Cause {
	case BreakerOpen:
		return on.CircuitOpen || o.Attempts > 0 && on.RetriesExhausted
	case RateLimited, Overflow:
		return on.RateLimited || o.Attempts > 1 && on.RetriesExhausted
	default:
		return on.RetriesExhausted
	}
}

func (s *simCall) checkAnswer(now time.Time, a Action, g given) error {
	o := s.call.Outcome()
	if err := s.checkGRPC(o); err != nil {
		return err
	}
	switch a.Do {
	case Forward:
		if t := &s.attempts[a.Attempt]; g.response == nil && !t.until.IsZero() {
			return s.checkReleased(now, a, g)
		}
		if g.response == nil || a.Attempt != g.id || o.Kind != OK || o.Status != g.response.Status {
			return errors.New("rule 10: what is forwarded is not the response just received")
		}
		return s.checkForward(g, o)
	case ForwardKept:
		if !s.kept().Has(a.Attempt) || s.attempts[a.Attempt].status != s.last || o.Kind != OK || o.Status != s.last || g.response != nil {
			return errors.New("rule 10: what is forwarded is not the last response")
		}
	case Respond:
		if o.Status != s.plan.Fallback.Status {
			return errors.New("the fallback's answer has another status")
		}
	case Reject:
		if s.kept() != 0 || g.response != nil {
			return errors.New("rule 10: a response is invented though there is a real one")
		}
		if !o.Local() || o.Status != o.Kind.Status() {
			return errors.New("rule 26: a local answer without a status of its own")
		}
	case Continue, AwaitTrailers, Wait, Park, StartAttempt, Abort:
	}
	return nil
}

func (s *simCall) checkForward(g given, o Outcome) error {
	if (o.Fallback == FellBackOnDestination) != s.fellBack {
		return errors.New("the outcome does not say what of the fallback has answered")
	}
	good := o.Decision == NotNeeded || o.Decision == Recovered
	if good && (o.Decision == Recovered) != (s.count > 1 || s.fellBack) {
		return errors.New("rule 9: recovered means that there was a retry")
	}
	if good && (g.response.Status >= 500 || FailedGRPC(g.response.GRPCStatus)) {
		return errors.New("rule 9: a failed call is called good")
	}
	if !good && g.response.Status < 400 && !g.response.HeaderMatched && g.response.GRPCStatus <= 0 {
		return errors.New("rule 9: a good call is called failed")
	}
	return nil
}

// drain brings every call to its end: clients leave, and bodies end.
func (w *world) drain() error {
	now := w.now(0)
	for i := range w.slots {
		s := &w.slots[i]
		if s.state == simForwarding {
			if err := w.finish(s, now); err != nil {
				return err
			}
		}
		if s.state == simIdle {
			continue
		}
		if err := w.clientGone(s, now); err != nil {
			return err
		}
	}
	return nil
}
