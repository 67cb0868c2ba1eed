package call

import (
	"fmt"
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// The simulator is a multiplexing driver without I/O: one goroutine, many interleaved calls, virtual time, random faults. It
// keeps its own record of every call, from which it judges each Action by the rules; it never looks inside a Call.

// world is one simulated agent's worker.
type world struct {
	random *rand.Rand
	now    func(step time.Duration) time.Time // advances the clock and reads it
	plans  []*simPlan
	slots  []simCall
	alone  bool // the instruments are fed by this world only, so that they can be checked too

	ended [KindCount][RetryDecisionCount]int
	steps int
}

// simPlan is a policy at one destination, with what the oracle knows of its budget.
type simPlan struct {
	Plan
	limit          int // the highest maxRetries anywhere
	calls, retries []time.Time
}

// simCall is the oracle's record of one call.
type simCall struct {
	call Call
	plan *simPlan
	q    Request

	state    simState
	began    time.Time
	deadline time.Time
	until    time.Time
	// The clock of the try under way (rule 2): since when the upstream is what is waited for, zero while it is not, how
	// long it was before, and when the request was complete, zero before.
	waits   time.Time
	waited  time.Duration
	written time.Time

	tries, stales int
	arrived       bool // the request may have, in any try
	sent          bool // the kernel accepted bytes of it, in the try under way
	unkept        bool // the body was sent, or a part of it, and is not kept
	buffers       bool
	interim       bool
	kept          int // status of the response kept; 0: none
	last          int // status of the last response
}

type simState uint8

const (
	simIdle simState = iota
	simQueued
	simTrying
	simWaiting
)

func newWorld(seed uint64, plans []*simPlan, slots int) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 99)), plans: plans, slots: make([]simCall, slots), alone: true}
	now := t0
	w.now = func(step time.Duration) time.Time { now = now.Add(step); return now }
	return w
}

// simPlans makes random policies, each with instruments of its own.
func simPlans(seed uint64, n int) []*simPlan {
	random := rand.New(rand.NewPCG(seed, 5))
	var plans []*simPlan
	for range n {
		s := simSettings(random)
		p := &simPlan{Plan: Plan{Settings: s, Random: random.Float64}, limit: s.Retry.MaxRetries}
		for _, o := range s.Retry.Overrides {
			p.limit = max(p.limit, o.MaxRetries)
		}
		if s.Breaker != nil {
			p.Breaker = resilience.NewBreaker(s.Breaker, random.Float64)
		}
		if random.IntN(4) > 0 {
			p.Budget = resilience.NewBudget(s.Retry.Budget, t0)
		}
		plans = append(plans, p)
	}
	return plans
}

func simSettings(random *rand.Rand) *policy.Settings {
	s := policy.Defaults()
	maybe := func(d time.Duration) time.Duration {
		if random.IntN(3) == 0 {
			return 0
		}
		return time.Duration(random.Int64N(int64(d))) + 1
	}
	s.Timeouts.Overall = maybe(4 * time.Second)
	s.Timeouts.PerTry = maybe(2 * time.Second)
	s.Timeouts.ResponseHeader = maybe(time.Second)
	s.Timeouts.MaxDuration = maybe(20 * time.Second)
	r := &s.Retry
	r.MaxRetries = random.IntN(5)
	r.On = policy.Conditions(random.IntN(1 << 11))
	r.StatusCodes = []policy.StatusRange{{From: 404, To: uint16(404 + random.IntN(10))}}
	r.Idempotency = policy.Idempotency(random.IntN(4))
	r.Backoff = simBackoff(random)
	r.RetryAfter = policy.RetryAfter{Honor: random.IntN(4) > 0, Max: maybe(3 * time.Second)}
	r.Budget = policy.Budget{Percent: random.IntN(40), MinPerSecond: random.IntN(3), Window: time.Duration(1+random.IntN(5)) * time.Second}
	r.AvoidPreviousEndpoints = random.IntN(2) == 0
	for range random.IntN(3) {
		r.Overrides = append(r.Overrides, policy.RetryOverride{
			On: policy.Conditions(random.IntN(1 << 11)), MaxRetries: random.IntN(7), Backoff: simBackoff(random),
		})
	}
	if random.IntN(3) > 0 {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures = 3 + random.IntN(20)
		b.ErrorRate = &policy.ErrorRate{Percent: 70, MinimumRequests: 20, Window: time.Second}
		b.OpenDuration, b.OpenMaxDuration = 100*ms, time.Second
		b.Probes, b.SuccessesToClose = 1+random.IntN(3), 1+random.IntN(3)
		s.Breaker = &b
	}
	return &s
}

func simBackoff(random *rand.Rand) policy.Backoff {
	b := policy.Backoff{
		Strategy: policy.Strategy(random.IntN(3)), Initial: time.Duration(random.IntN(200)) * ms, Multiplier: 1 + 2*random.Float64(),
		Jitter: policy.Jitter(random.IntN(6)), JitterPercent: 1 + random.IntN(100),
	}
	b.Max = b.Initial + time.Duration(random.IntN(1000))*ms
	return b
}

// step lets one thing happen to one call.
func (w *world) step() error {
	w.steps++
	now := w.now(time.Duration(w.random.ExpFloat64() * float64(ms)))
	s := &w.slots[w.random.IntN(len(w.slots))]
	if s.state != simIdle && !s.until.IsZero() && w.random.IntN(40) == 0 && now.Before(s.until) && w.alone {
		now = w.now(s.until.Sub(now)) // straight to the timer
	}
	switch s.state {
	case simIdle:
		return w.begin(s, now)
	case simQueued:
		return w.queued(s, now)
	case simTrying:
		return w.trying(s, now)
	default:
		return w.waiting(s, now)
	}
}

func (w *world) begin(s *simCall, now time.Time) error {
	call := s.call // a Call is used again
	*s = simCall{call: call, plan: w.plans[w.random.IntN(len(w.plans))], began: now}
	s.q = Request{Method: Method(w.random.IntN(3)), Keyed: w.random.IntN(3) == 0, HasBody: w.random.IntN(2) == 0}
	if w.random.IntN(5) == 0 {
		s.q.Timeout = time.Duration(w.random.Int64N(int64(3 * time.Second)))
	}
	t := s.plan.Settings.Timeouts
	for _, d := range []time.Duration{t.Overall, t.MaxDuration, s.q.Timeout} {
		if end := now.Add(d); d > 0 && (s.deadline.IsZero() || end.Before(s.deadline)) {
			s.deadline = end
		}
	}
	if w.alone {
		s.plan.calls = append(s.plan.calls, now)
	}
	open := w.breakerOpen(s, now)
	a := s.call.Begin(now, s.plan.Plan, s.q)
	if a.Do == Reject && s.plan.Breaker != nil {
		return w.check(s, now, a, given{})
	}
	s.buffers = s.call.NeedsReplay()
	return w.check(s, now, a, given{open: open})
}

func (w *world) queued(s *simCall, now time.Time) error {
	switch n := w.random.IntN(100); {
	case n < 80:
		s.waits, s.waited, s.written, s.state = now, 0, time.Time{}, simTrying
		return w.check(s, now, s.call.Dispatched(now), given{})
	case n < 85:
		kind := []Kind{Overflow, RateLimited, Internal}[w.random.IntN(3)]
		return w.check(s, now, s.call.LocalReject(now, kind), given{over: true})
	case n < 88:
		return w.check(s, now, s.call.ClientGone(now), given{client: true, cancel: true})
	case n < 93:
		f := Failure{Kind: ConnectFailed}
		open := w.breakerOpen(s, now)
		return w.check(s, now, s.call.TryFailed(now, f), given{failure: &f, open: open})
	default:
		return w.timer(s, now)
	}
}

func (w *world) trying(s *simCall, now time.Time) error {
	switch n := w.random.IntN(100); {
	case n < 10:
		s.pause(now)
		return w.check(s, now, s.call.Sending(now), given{})
	case n < 20:
		s.sent = true
		s.write()
		s.resume(now)
		return w.check(s, now, s.call.RequestWritten(now), given{})
	case n < 25 && s.q.HasBody:
		s.sent = true
		s.write()
		s.unkept = true
		s.call.BodyOverflowed()
		return nil
	case n < 28:
		s.sent, s.interim = true, true
		s.call.Interim()
		return nil
	case n < 55:
		return w.respond(s, now)
	case n < 80:
		f := w.failure(s)
		s.arrived = s.arrived || (s.sent || f.BytesWritten) && !f.PeerUnprocessed
		open := w.breakerOpen(s, now)
		return w.check(s, now, s.call.TryFailed(now, f), given{failure: &f, open: open, cancel: f.Kind == AttemptTimeout})
	case n < 85:
		return w.check(s, now, s.call.ClientGone(now), given{client: true, cancel: true})
	default:
		return w.timer(s, now)
	}
}

func (w *world) waiting(s *simCall, now time.Time) error {
	if w.random.IntN(50) == 0 {
		return w.check(s, now, s.call.ClientGone(now), given{client: true})
	}
	return w.timer(s, now)
}

// pause has the client be what is waited for, resume the upstream.
func (s *simCall) pause(now time.Time) {
	if !s.waits.IsZero() {
		s.waited += now.Sub(s.waits)
	}
	s.waits, s.written = time.Time{}, time.Time{}
}

func (s *simCall) resume(now time.Time) {
	if s.waits.IsZero() {
		s.waits = now
	}
	s.written = now
}

// write has a part of the request body sent.
func (s *simCall) write() {
	if s.q.HasBody && !s.buffers {
		s.unkept = true
	}
}

func (w *world) respond(s *simCall, now time.Time) error {
	r := Response{Status: []int{200, 200, 204, 302, 404, 409, 429, 500, 501, 503, 503}[w.random.IntN(11)], GRPCStatus: -1}
	if w.random.IntN(4) == 0 {
		r.HasRetryAfter, r.RetryAfter = true, time.Duration(w.random.Int64N(int64(5*time.Second)))
	}
	r.HeaderMatched = w.random.IntN(20) == 0
	r.RequestUnfinished = s.q.HasBody && w.random.IntN(10) == 0
	s.arrived = true
	s.write()
	s.last = r.Status
	open := w.breakerOpen(s, now)
	return w.check(s, now, s.call.ResponseHead(now, r), given{response: &r, open: open})
}

func (w *world) failure(s *simCall) Failure {
	kinds := []Kind{ConnectFailed, ConnectTimeout, Reset, Reset, Reset, RefusedStream, BadResponse, AttemptTimeout}
	if s.sent {
		kinds = kinds[2:]
	}
	f := Failure{Kind: kinds[w.random.IntN(len(kinds))]}
	switch f.Kind {
	case ConnectFailed, ConnectTimeout:
		return f
	case RefusedStream:
		f.BytesWritten, f.PeerUnprocessed = true, true
	case BadResponse:
		f.BytesWritten, f.ResponseStarted = true, true
	default:
		f.BytesWritten = s.sent || w.random.IntN(3) > 0 // what this try's connection accepted; of others nothing follows
		f.ResponseStarted = f.BytesWritten && w.random.IntN(4) == 0
		f.Reused = w.random.IntN(3) == 0
	}
	if s.interim {
		f.BytesWritten, f.ResponseStarted = true, true
	}
	if f.BytesWritten {
		s.write()
	}
	return f
}

func (w *world) timer(s *simCall, now time.Time) error {
	due := !s.until.IsZero() && !now.Before(s.until)
	open := w.breakerOpen(s, now)
	if due && s.state == simTrying { // the request is taken to be sent
		s.arrived = true
		s.write()
	}
	return w.check(s, now, s.call.Timer(now), given{timer: true, due: due, open: open, cancel: due && s.state != simWaiting})
}

// breakerOpen reports whether the breaker must not let a try pass.
func (w *world) breakerOpen(s *simCall, now time.Time) bool {
	return w.alone && s.plan.Breaker != nil && s.plan.Breaker.Status(now).State == resilience.Open
}

// given is what the oracle knows of the event that an Action answers.
type given struct {
	response *Response
	failure  *Failure
	client   bool // gone
	over     bool // the agent's own rejection
	timer    bool
	due      bool
	open     bool // the breaker was open before the event
	cancel   bool // a try was under way and the event does not end it by itself
}

// check judges an Action and follows it.
func (w *world) check(s *simCall, now time.Time, a Action, g given) error {
	if err := w.judge(s, now, a, g); err != nil {
		return fmt.Errorf("%w\nstep %d at %v: action %+v, event %+v, outcome %+v\nrecord %+v\nsettings %+v",
			err, w.steps, now.Sub(t0), a, g, s.call.Outcome(), s, s.plan.Settings)
	}
	w.follow(s, now, a, g)
	return nil
}

func (w *world) follow(s *simCall, now time.Time, a Action, g given) {
	s.until = a.Until
	if a.Keep {
		s.kept = s.last
	}
	switch a.Do {
	case StartTry:
		if s.tries++; s.tries > 1 && w.alone {
			s.plan.retries = append(s.plan.retries, now)
		}
		if stale := g.failure != nil && a.Fresh && !a.Avoid && s.stales == 0 && g.failure.stale(); stale {
			s.stales++
		}
		s.state, s.sent = simQueued, false
	case Wait:
		s.state = simWaiting
	case Forward, ForwardKept, Reject, Abort:
		o := s.call.Outcome()
		w.ended[o.Kind][o.Decision]++
		s.state = simIdle
	case Continue:
	}
}
