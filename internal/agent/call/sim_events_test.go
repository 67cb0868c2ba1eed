package call

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

func (w *world) begin(s *simCall, now time.Time) error {
	s.simRecord = simRecord{plan: w.plans[w.random.IntN(len(w.plans))], began: now}
	s.q = Request{Method: Method(w.random.IntN(3)), Keyed: w.random.IntN(3) == 0, HasBody: w.random.IntN(2) == 0}
	s.q.GRPC, s.q.Refusable = w.random.IntN(3) == 0, w.random.IntN(3) == 0
	s.q.ShadowKeyed = s.q.Keyed
	s.q.Retried = w.random.IntN(6) == 0
	s.lastGRPC = -1
	if w.random.IntN(5) == 0 {
		s.q.Timeout = time.Duration(w.random.Int64N(int64(3 * time.Second)))
	}
	t := s.plan.Settings.Timeouts
	for _, d := range []time.Duration{t.Overall, t.MaxDuration, s.q.Timeout} {
		if d > 0 {
			s.deadline = soonest(s.deadline, now.Add(d))
		}
	}
	g := w.event(s, now, "begin", 0)
	a := s.call.Begin(now, &s.plan.Plan, s.q)
	s.buffers = s.call.NeedsReplay()
	return w.check(s, now, a, g)
}

// idle lets something happen to a call without an attempt under way.
func (w *world) idle(s *simCall, now time.Time) error {
	switch {
	case w.random.IntN(50) == 0:
		return w.clientGone(s, now)
	case s.state == simParked && (s.woken.Swap(false) || w.random.IntN(10) == 0): // drivers wake calls for no reason, too
		g := w.event(s, now, "woken", 0)
		g.timer = true
		return w.check(s, now, s.call.Woken(now), g)
	}
	return w.timer(s, now)
}

func (w *world) clientGone(s *simCall, now time.Time) error {
	g := w.event(s, now, "client gone", 0)
	g.client = true
	return w.check(s, now, s.call.ClientGone(now), g)
}

func (w *world) trying(s *simCall, now time.Time) error {
	id := w.pick(s.live())
	if s.attempts[id].state == simQueued {
		return w.queued(s, now, id)
	}
	return w.placed(s, now, id)
}

// pick returns one of a set.
func (w *world) pick(set AttemptSet) AttemptID {
	n := w.random.IntN(bits.OnesCount8(uint8(set)))
	for id := range set.All() {
		if n == 0 {
			return id
		}
		n--
	}
	return 0
}

func (w *world) queued(s *simCall, now time.Time, id AttemptID) error {
	switch n := w.random.IntN(100); {
	case n < 40 && s.attempts[id].hedged:
		return w.unplaced(s, now, id)
	case n < 80:
		return w.place(s, now, id)
	case n < 85:
		g := w.event(s, now, "local reject", id)
		g.over = true
		kind := []Kind{Overflow, RateLimited, Internal}[w.random.IntN(3)]
		s.attempts[id] = simAttempt{}
		return w.check(s, now, s.call.LocalReject(now, id, kind), g)
	case n < 88:
		return w.clientGone(s, now)
	case n < 93:
		return w.fail(s, now, id, Failure{Kind: ConnectFailed})
	case n < 95: // its place was needed
		w.loseKept(s)
		return nil
	}
	return w.timer(s, now)
}

// unplaced has there be no place for a hedge, which has never been then.
func (w *world) unplaced(s *simCall, now time.Time, id AttemptID) error {
	g := w.event(s, now, "unplaced", id)
	g.unplaced = true
	if i := slices.Index(s.plan.retries, s.attempts[id].begun); i >= 0 {
		s.plan.retries = slices.Delete(s.plan.retries, i, i+1)
	}
	s.attempts[id] = simAttempt{}
	s.starts[Hedged]--
	s.count--
	w.unplacings++
	if s.live() == 0 {
		w.unplacedLast++
	}
	return w.check(s, now, s.call.Unplaced(now, id), g)
}

// loseKept has the response be lost that is kept, if one is.
func (w *world) loseKept(s *simCall) {
	if k := s.kept(); k != 0 && (s.state == simTrying || s.state == simWaiting) {
		s.call.KeptLost()
		s.attempts[w.pick(k)], s.lost = simAttempt{}, true
	}
}

// hold has an attempt hold a permit of its endpoint's breaker, if that has one to give: where there is no other endpoint it goes there nevertheless.
func (w *world) hold(s *simCall, now time.Time, id AttemptID) {
	b := s.plan.endpoints[s.settings().Settings]
	if b == nil {
		return
	}
	if p, ok := b.Allow(now); ok {
		s.call.Hold(id, b, p)
	} else {
		s.call.Hold(id, nil, resilience.Permit{})
	}
}

func (w *world) place(s *simCall, now time.Time, id AttemptID) error {
	t := &s.attempts[id]
	t.state, t.waits, t.on = simPlaced, now, w.open()
	if !s.q.HasBody || t.hedged {
		s.armHedge(now)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(w.random.IntN(9))}), 80)
	g := w.event(s, now, "placed", id)
	w.hold(s, now, id)
	a := s.call.Placed(now, id, at)
	if w.random.IntN(9) == 0 { // it goes to another endpoint after all
		w.hold(s, now, id)
	}
	t.perTry = s.call.attempts[id].perTry
	if err := w.check(s, now, a, g); err != nil {
		return err
	}
	if e := s.call.Endpoints(); len(e) == 0 || e[len(e)-1] != at {
		return errors.New("the endpoint is not among those that the call was placed at")
	}
	return nil
}

// armHedge notes when the next hedge is due.
func (s *simCall) armHedge(now time.Time) {
	if h := s.settings().Hedge; h.After > 0 && s.hedgeAt.IsZero() && s.starts[Hedged] < h.Max && (!s.q.HasBody || s.whole) {
		s.hedgeAt = now.Add(h.After)
	}
}

// written has the last byte of the request be sent, whose body may be there to be sent again.
func (s *simCall) written(now time.Time, kept bool) {
	if !s.q.HasBody {
		return
	}
	if kept && !s.unkept {
		s.whole = true
		s.call.BodyKept()
	}
	s.armHedge(now)
}

func (w *world) placed(s *simCall, now time.Time, id AttemptID) error {
	t := &s.attempts[id]
	if !t.until.IsZero() {
		return w.awaited(s, now, id)
	}
	switch n := w.random.IntN(100); {
	case n < 10:
		t.pause(now)
		return w.check(s, now, s.call.Sending(now, id), w.event(s, now, "sending", id))
	case n < 20:
		if w.random.IntN(3) > 0 { // the rest hear of it late
			s.accept(id)
		}
		t.resume(now)
		s.written(now, w.random.IntN(3) > 0)
		return w.check(s, now, s.call.RequestWritten(now, id), w.event(s, now, "request written", id))
	case n < 25 && s.q.HasBody:
		s.accept(id)
		s.unkept = true
		s.call.BodyOverflowed()
		return nil
	case n < 28:
		s.arrive(id)
		s.interim = true
		g := w.event(s, now, "interim", id)
		g.interim = true
		return w.check(s, now, s.call.Interim(now, id), g)
	case n < 55:
		return w.respond(s, now, id)
	case n < 80:
		return w.fail(s, now, id, w.failure(s, id))
	case n < 85:
		return w.clientGone(s, now)
	case n < 90:
		return w.placedAgain(s, now, id)
	}
	return w.timer(s, now)
}

// pause has the client be what is waited for, resume the upstream.
func (t *simAttempt) pause(now time.Time) {
	if !t.waits.IsZero() {
		t.waited += now.Sub(t.waits)
	}
	t.waits, t.written = time.Time{}, time.Time{}
}

func (t *simAttempt) resume(now time.Time) {
	if t.waits.IsZero() {
		t.waits = now
	}
	t.written = now
}

// accept has the kernel accept bytes of an attempt's request.
func (s *simCall) accept(id AttemptID) {
	s.arrive(id)
	s.call.BytesAccepted(id)
}

// arrive notes that bytes were accepted.
func (s *simCall) arrive(id AttemptID) {
	s.attempts[id].sent = true
	s.unkept = s.unkept || s.q.HasBody && !s.buffers
}

func (w *world) respond(s *simCall, now time.Time, id AttemptID) error {
	r := Response{Status: []int{200, 200, 204, 302, 404, 409, 429, 500, 501, 503, 503}[w.random.IntN(11)], GRPCStatus: -1}
	if w.random.IntN(4) == 0 {
		r.HasRetryAfter, r.RetryAfter = true, time.Duration(w.random.Int64N(int64(5*time.Second)))
	}
	s.asked = max(s.asked, r.RetryAfter)
	r.HeaderMatched = w.random.IntN(20) == 0
	r.ShadowHeaderMatched = r.HeaderMatched
	r.RequestUnfinished = s.q.HasBody && w.random.IntN(10) == 0
	if s.q.GRPC {
		w.overGRPC(&r)
	}
	s.arrive(id)
	s.before = [2]int{s.last, s.lastGRPC}
	if !w.shouldAwait(s, &r) {
		s.last, s.lastGRPC = r.Status, r.GRPCStatus
	}
	s.arrived = true
	s.attempts[id].pending = r.GRPCPending
	g := w.event(s, now, "response", id)
	g.response = &r
	return w.check(s, now, s.call.ResponseHead(now, id, r), g)
}

func (w *world) failure(s *simCall, id AttemptID) Failure {
	kinds := []Kind{ConnectFailed, ConnectTimeout, DNSFailed, TLSFailed, ProxyRefused, Reset, Reset, Reset, RefusedStream, BadResponse, AttemptTimeout}
	t := &s.attempts[id]
	if t.sent {
		kinds = kinds[5:]
	}
	f := Failure{Kind: kinds[w.random.IntN(len(kinds))]}
	switch f.Kind {
	case ConnectFailed, ConnectTimeout, DNSFailed, TLSFailed, ProxyRefused:
		return f
	case RefusedStream:
		f.PeerUnprocessed = true
		f.PeerLeaving = w.random.IntN(2) == 0
		f.Reused = w.random.IntN(3) == 0
	case BadResponse:
		f.ResponseStarted = true
	default:
		f.ResponseStarted = t.sent && w.random.IntN(4) == 0
		f.Reused = w.random.IntN(3) == 0
	}
	if s.interim {
		f.ResponseStarted = true
	}
	if w.random.IntN(3) > 0 { // what this connection accepted; of others nothing follows
		s.accept(id)
	}
	return f
}

func (w *world) fail(s *simCall, now time.Time, id AttemptID, f Failure) error {
	if f.ResponseStarted {
		s.arrive(id)
	}
	g := w.event(s, now, "failure", id)
	g.failure, g.unsent = &f, f.PeerUnprocessed && !f.ResponseStarted || !s.attempts[id].sent
	s.arrived = s.arrived || !g.unsent
	s.attempts[id] = simAttempt{}
	return w.check(s, now, s.call.AttemptFailed(now, id, f), g)
}

func (w *world) timer(s *simCall, now time.Time) error {
	g := w.event(s, now, "timer", 0)
	g.timer = true
	due := s.due(now)
	for id := range due.All() {
		s.arrived = s.arrived || s.attempts[id].sent
	}
	if due := s.dueAwaited(now); due != 0 {
		s.last, s.lastGRPC = s.attempts[firstOf(due)].status, -1
	}
	if at := s.hedgesAt(); due == 0 && !at.IsZero() && !now.Before(at) {
		s.hedgeAt = time.Time{}
	}
	return w.check(s, now, s.call.Timer(now), g)
}

// due returns the attempts whose time is up.
func (s *simCall) due(now time.Time) (set AttemptSet) {
	hedgeAt := s.hedgeAt
	all := s.attempts
	for id := range s.live().All() {
		s.attempts, s.hedgeAt = [MaxAttempts]simAttempt{all[id]}, time.Time{}
		if until := s.horizon(); !until.IsZero() && !now.Before(until) {
			set |= SetOf(id)
		}
		s.attempts = all
	}
	s.hedgeAt = hedgeAt
	return set
}

// finish forwards the response's body to an end.
func (w *world) finish(s *simCall, now time.Time) error {
	e := End{Truncated: w.random.IntN(5) == 0, GRPCStatus: []int{-1, 0, 14}[w.random.IntN(3)]}
	e.ClientGone = e.Truncated && w.random.IntN(2) == 0
	return w.finishWith(s, now, e)
}

func (w *world) finishWith(s *simCall, now time.Time, e End) error {
	want := s.expected(s.call.Outcome(), &e)
	if o := s.call.Finished(now, s.answer, e); o != want || s.call.Outcome() != o {
		return w.explain(fmt.Errorf("after the end of the body the outcome is not %+v", want), s, now, Action{}, given{name: "finished"})
	}
	w.note(s)
	s.state = simIdle
	s.attempts = [MaxAttempts]simAttempt{}
	return nil
}
