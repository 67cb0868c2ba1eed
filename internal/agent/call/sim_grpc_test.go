package call

import (
	"errors"
	"math/bits"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// overGRPC has a response be one to a gRPC call: most of them have status 200, and say how they end here or in their trailers.
func (w *world) overGRPC(r *Response) {
	if w.random.IntN(4) > 0 {
		r.Status = 200
	}
	if r.GRPCPending = w.random.IntN(2) == 0; !r.GRPCPending {
		r.GRPCStatus = []int{0, 0, 5, 13, 14, 14}[w.random.IntN(6)]
	}
	if r.HasRetryAfter && w.random.IntN(3) == 0 {
		r.RetryAfter = -1
	}
}

// awaited lets something happen to an attempt whose response is held back.
func (w *world) awaited(s *simCall, now time.Time, id AttemptID) error {
	t := &s.attempts[id]
	switch n := w.random.IntN(100); {
	case n < 25:
		g := w.event(s, now, "message", id)
		g.released = true
		s.last, s.lastGRPC = t.status, -1
		return w.check(s, now, s.call.MessageBegun(now, id), g)
	case n < 60:
		r := Response{Status: t.status}
		w.overGRPC(&r)
		r.Status, r.GRPCPending = t.status, false
		s.last, s.lastGRPC, t.pending = r.Status, r.GRPCStatus, false
		g := w.event(s, now, "trailers", id)
		g.response = &r
		return w.check(s, now, s.call.ResponseHead(now, id, r), g)
	case n < 70:
		f := w.failure(s, id)
		f.ResponseStarted = w.random.IntN(2) == 0 // it did, whatever is said
		return w.failAwaited(s, now, id, f)
	case n < 75:
		return w.clientGone(s, now)
	case n < 78 && s.q.HasBody:
		s.unkept = true
		s.call.BodyOverflowed()
		return nil
	case n < 85: // late, and of no consequence
		until := s.horizon()
		a := []Action{s.call.Sending(now, id), s.call.RequestWritten(now, id), s.call.Placed(now, id, endpoint)}[w.random.IntN(3)]
		if a != (Action{Do: Continue, Until: until}) {
			return w.explain(errors.New("what was sent matters after the answer"), s, now, a, given{name: "sending"})
		}
		return nil
	}
	return w.timer(s, now)
}

// failAwaited has the stream end without trailers.
func (w *world) failAwaited(s *simCall, now time.Time, id AttemptID, f Failure) error {
	g := w.event(s, now, "failure while trailers are awaited", id)
	said := f
	said.ResponseStarted = true
	g.failure, s.arrived = &said, true
	s.attempts[id] = simAttempt{}
	return w.check(s, now, s.call.AttemptFailed(now, id, f), g)
}

// shouldAwait reports whether a response is one to hold back: good so far, and its trailers could still lead to another attempt.
func (w *world) shouldAwait(s *simCall, r *Response) bool {
	set := s.settings().Settings
	bad := r.Status >= 500 || r.Status == 429 || classifyResponse(set, r).retryable
	could := !s.interim && !s.fellBack && !s.unkept && !r.RequestUnfinished && idempotent(&s.plan.Settings.Retry, s.q) && !s.skips()
	again := s.starts[Retry] + s.starts[Hedged]
	named := len(set.Retry.GRPCStatuses) > 0 && set.Retry.MaxRetries > again
	for i := range set.Retry.Overrides {
		o := &set.Retry.Overrides[i]
		named = named || len(o.GRPCStatuses) > 0 && o.MaxRetries > again
	}
	return r.GRPCPending && !bad && could && named
}

// checkAwait checks that a response is held back exactly if that is worth while.
func (w *world) checkAwait(s *simCall, now time.Time, a Action, g given) error {
	want := g.response != nil && w.shouldAwait(s, g.response)
	if a.Do == AwaitTrailers && !want && g.response != nil && g.response.GRPCPending && !g.response.RequestUnfinished && s.settings().Settings.Breaker != nil {
		want = true // it may be a probe
	}
	if want != (a.Do == AwaitTrailers) {
		return errors.New("rule 9: a response is held back for no reason, or is not though its trailers could matter")
	}
	if a.Do == AwaitTrailers && (a.Until.IsZero() || a.Until.Sub(now) > trailersLimit) {
		return errors.New("a response is held back for too long")
	}
	return nil
}

// checkReleased checks that a response is forwarded that was held back.
func (s *simCall) checkReleased(now time.Time, a Action, g given) error {
	t := &s.attempts[a.Attempt]
	o := s.call.Outcome()
	switch {
	case !g.released && now.Before(t.until) && (s.deadline.IsZero() || now.Before(s.deadline)):
		return errors.New("a response that is held back is forwarded before its time")
	case g.released && a.Attempt != g.id, o.Kind != OK || o.Status != t.status || o.GRPCStatus != -1:
		return errors.New("rule 10: what is forwarded is not the response that was held back")
	case o.Decision > Recovered:
		return errors.New("rule 9: a call is called failed whose end is not known")
	}
	return nil
}

// checkGRPC checks what is said of the gRPC status before the body's end.
func (s *simCall) checkGRPC(o Outcome) error {
	if f := s.plan.Fallback; o.Fallback == FellBackOnResponse {
		if want := map[bool]int{true: f.GRPCStatus, false: -1}[s.q.GRPC]; o.Kind != OK && o.GRPCStatus != want {
			return errors.New("the fallback's answer has another gRPC status")
		}
		return nil
	}
	switch {
	case o.Kind == OK && o.GRPCStatus != s.lastGRPC:
		return errors.New("the outcome has another gRPC status than the last response")
	case o.Kind != OK && s.q.GRPC != (o.GRPCStatus > 0):
		return errors.New("rule 26: a local answer to a gRPC call has a status, and no other has")
	}
	return nil
}

// expected is the outcome after the end of the body: what was to come in the trailers is known, and nothing else changes.
func (s *simCall) expected(o Outcome, e *End) Outcome {
	o.Truncated = e.Truncated
	if !s.attempts[s.answer].pending || e.ClientGone {
		return o
	}
	o.GRPCStatus = e.GRPCStatus
	v := classifyResponse(s.settings().Settings, &Response{Status: o.Status, GRPCStatus: e.GRPCStatus})
	if !FailedGRPC(e.GRPCStatus) && !v.retryable || o.Decision > Recovered {
		return o
	}
	o.Decision = NotRetryable
	if v.retryable && s.starts[Retry]+s.starts[Hedged] >= v.limit {
		o.Decision = Exhausted
	}
	if v.retryable && s.skips() {
		o.Decision = AlreadyRetried
	}
	if !idempotent(&s.plan.Settings.Retry, s.q) {
		o.Decision = ByMethod
	}
	return o
}

// dueAwaited returns the attempts whose response is not to be held back any longer.
func (s *simCall) dueAwaited(now time.Time) (set AttemptSet) {
	for id := range s.live().All() {
		if t := &s.attempts[id]; !t.until.IsZero() && !now.Before(t.until) {
			set |= SetOf(id)
		}
	}
	return set
}

func firstOf(set AttemptSet) AttemptID { return AttemptID(bits.TrailingZeros8(uint8(set))) }

func simGRPC(pick func(n int) int) []policy.GRPCStatus {
	return [][]policy.GRPCStatus{nil, nil, {14}, {13, 14, 5}}[pick(4)]
}
