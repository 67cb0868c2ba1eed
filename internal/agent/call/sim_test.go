package call

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// The simulator is a multiplexing driver without I/O: one goroutine, many interleaved calls, virtual time, random faults, and events
// in the orders that real drivers produce. It keeps its own record of every call, by which it checks each Action against the
// rules; it never looks inside a Call.

// world is one simulated agent's worker.
type world struct {
	random *rand.Rand
	now    func(step time.Duration) time.Time // advances the clock and reads it
	plans  []*simPlan
	slots  []simCall
	alone  bool // the instruments are fed by this world only, so that they can be checked too

	ended  [KindCount][RetryDecisionCount]int
	starts [StartCount]int
	did    [Abort + 1]int
	strays int
	// hedges that found no place, and those of them that were all that was left
	unplacings, unplacedLast int
	differ                   int // shadows that decided differently
	steps                    int

	conns [simConns]simConn
	ends  [simEnds]int // how often calls met each end of a connection
}

// simCall is the simulator's record of one call.
type simCall struct {
	call  Call
	woken atomic.Bool // by a gate
	simRecord
}

// simRecord begins anew with each call.
type simRecord struct {
	plan *simPlan
	q    Request

	state    simState
	began    time.Time
	deadline time.Time
	until    time.Time
	hedgeAt  time.Time

	attempts [MaxAttempts]simAttempt
	answer   AttemptID // the one forwarded
	starts   [StartCount]int
	count    int

	arrived  bool // the request may have, in an attempt that has ended
	unkept   bool // the body was sent, or a part of it, and is not kept
	buffers  bool
	whole    bool // the body is kept to its end
	interim  bool
	lost     bool // the response kept was
	fellBack bool
	last     int           // status of the last response
	lastGRPC int           // its gRPC status, or -1
	asked    time.Duration // the longest Retry-After
	before   [2]int        // what these were before the response just reported
}

type simState uint8

const (
	simIdle simState = iota
	simParked
	simReserved // at a gate
	simTrying
	simWaiting
	simForwarding
)

// simAttempt is the record of one attempt.
type simAttempt struct {
	state simAttemptState
	sent  bool // the kernel accepted bytes of it
	// Its clock (rule 2): since when the upstream is what is waited for, zero while it is not, how long it was before, and
	// when the request was complete, zero before.
	waits   time.Time
	waited  time.Duration
	written time.Time
	status  int  // of its response
	grpc    int  // its gRPC status; -1: none, or it comes in the trailers
	pending bool // it says in its trailers how it ends
	hedged  bool
	begun   time.Time
	// until is when its response, which is held back, is to be forwarded; zero: none is.
	until time.Time
	on    simStream
	// perTry is how long it may take; zero: for ever.
	perTry time.Duration
}

type simAttemptState uint8

const (
	simFree simAttemptState = iota
	simQueued
	simPlaced
	simKept
)

func newWorld(seed uint64, plans []*simPlan, slots int) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 99)), plans: plans, slots: make([]simCall, slots), alone: true}
	now := t0
	w.now = func(step time.Duration) time.Time { now = now.Add(step); return now }
	for i := range w.slots {
		s := &w.slots[i]
		s.call.OnWake = func() { s.woken.Store(true) }
	}
	return w
}

// step lets one thing happen to one call.
func (w *world) step() error {
	w.steps++
	now := w.now(time.Duration(w.random.ExpFloat64() * float64(ms)))
	s := &w.slots[w.random.IntN(len(w.slots))]
	if s.state != simIdle && !s.until.IsZero() && w.random.IntN(40) == 0 && now.Before(s.until) && w.alone {
		now = w.now(s.until.Sub(now)) // straight to the timer
	}
	if w.random.IntN(8) == 0 {
		if err := w.stray(s, now); err != nil {
			return err
		}
	}
	if w.random.IntN(150) == 0 {
		return w.connectionEnds(now)
	}
	if w.random.IntN(60) == 0 {
		w.loseKept(s)
	}
	switch s.state {
	case simIdle:
		return w.begin(s, now)
	case simParked, simReserved, simWaiting:
		return w.idle(s, now)
	case simForwarding:
		return w.finish(s, now)
	default:
		return w.trying(s, now)
	}
}

// given is what is known of the event that an Action answers.
type given struct {
	name     string
	id       AttemptID
	response *Response
	failure  *Failure
	unsent   bool // the attempt that failed provably did not reach the upstream
	client   bool // gone
	over     bool // the agent's own rejection
	timer    bool
	interim  bool
	unplaced bool // nothing has ended but a hedge that found no place
	released bool // a message has begun of a response that was held back
	open     bool // the breaker was open before the event
	fallOpen bool // so was the fallback's
}

// event makes what is given, before the call hears of it.
func (w *world) event(s *simCall, now time.Time, name string, id AttemptID) given {
	g := given{name: name, id: id}
	if w.alone {
		g.open = isOpen(s.plan.Breaker, now)
		if f := s.plan.Fallback; f != nil && f.Plan != nil {
			g.fallOpen = isOpen(f.Plan.Breaker, now)
		}
		if p := s.plan.Shadow; p != nil { // looked at alike: a breaker that nobody used for long closes when it is looked at
			isOpen(p.Breaker, now)
			if p.Fallback != nil && p.Fallback.Plan != nil {
				isOpen(p.Fallback.Plan.Breaker, now)
			}
		}
	}
	return g
}

func isOpen(b *resilience.Breaker, now time.Time) bool {
	return b != nil && b.Status(now).State == resilience.Open
}

// settings are those of the plan that governs now.
func (s *simCall) settings() *Plan {
	if s.fellBack {
		return s.plan.Fallback.Plan
	}
	return &s.plan.Plan
}

// in returns the attempts in one of two states.
func (s *simCall) in(a, b simAttemptState) (set AttemptSet) {
	for id := range s.attempts {
		if st := s.attempts[id].state; st == a || st == b {
			set |= SetOf(AttemptID(id))
		}
	}
	return set
}

func (s *simCall) live() AttemptSet { return s.in(simQueued, simPlaced) }

func (s *simCall) kept() AttemptSet { return s.in(simKept, simKept) }

// check checks an Action and follows it.
func (w *world) check(s *simCall, now time.Time, a Action, g given) error {
	if err := w.checkAction(s, now, a, g); err != nil {
		return w.explain(err, s, now, a, g)
	}
	w.follow(s, now, a, g)
	if s.state == simTrying && !a.Until.Equal(s.horizon()) {
		return w.explain(fmt.Errorf("rules 1, 2, 17: until %v, want %v", a.Until.Sub(t0), s.horizon().Sub(t0)), s, now, a, g)
	}
	return nil
}

func (w *world) explain(err error, s *simCall, now time.Time, a Action, g given) error {
	return fmt.Errorf("%w\nstep %d at %v: action %+v, event %+v, outcome %+v\nstate %d, attempts %+v, request %+v\ntimeouts %+v, retry %+v",
		err, w.steps, now.Sub(t0), a, g, s.call.Outcome(), s.state, s.attempts, s.q, s.plan.Settings.Timeouts, s.plan.Settings.Retry)
}

func (w *world) follow(s *simCall, now time.Time, a Action, g given) {
	w.did[a.Do]++
	s.until = a.Until
	for id := range a.Cancel.All() {
		s.attempts[id] = simAttempt{}
	}
	if a.Keep {
		s.attempts[g.id] = simAttempt{
			state: simKept, status: g.response.Status, grpc: g.response.GRPCStatus, pending: g.response.GRPCPending, on: s.attempts[g.id].on,
		}
		s.lost = false
	}
	switch a.Do {
	case AwaitTrailers:
		s.last, s.lastGRPC = s.before[0], s.before[1]
		t := &s.attempts[g.id]
		t.pause(now)
		t.status, t.grpc, t.until = g.response.Status, -1, soonest(s.deadline, now.Add(trailersLimit))
	case StartAttempt:
		s.attempts[a.Attempt] = simAttempt{state: simQueued, hedged: a.Start == Hedged, begun: now}
		s.count++
		s.starts[a.Start]++
		w.starts[a.Start]++
		if w.alone && a.Start == First {
			s.plan.calls = append(s.plan.calls, now)
		}
		if w.alone && a.Route == 0 && (a.Start == Retry || a.Start == Repair || a.Start == Hedged) {
			s.plan.retries = append(s.plan.retries, now)
		}
		s.fellBack = a.Route == 1
		s.state = simTrying
	case Wait:
		if s.state == simTrying {
			s.state = simWaiting
		} else if s.state != simWaiting {
			s.state = simReserved
		}
	case Park:
		s.state = simParked
	case Forward, ForwardKept:
		s.state, s.answer = simForwarding, a.Attempt
	case Reject, Abort, Respond:
		w.note(s)
		s.state = simIdle
	case Continue:
	}
	if s.live() == 0 || a.Do == StartAttempt || g.interim {
		s.hedgeAt = time.Time{}
	}
}

// note counts how a call ended.
func (w *world) note(s *simCall) {
	o := s.call.Outcome()
	w.ended[o.Kind][o.Decision]++
	if _, differs := s.call.Divergence(); differs {
		w.differ++
	}
}

// beingSent reports whether an attempt is being sent.
func (s *simCall) beingSent() bool {
	for id := range s.live().All() {
		if t := &s.attempts[id]; t.state == simPlaced && t.waits.IsZero() && t.until.IsZero() {
			return true
		}
	}
	return false
}

// hedgesAt is when the next hedge starts, if nothing changes.
func (s *simCall) hedgesAt() time.Time {
	if s.beingSent() {
		return time.Time{}
	}
	return s.hedgeAt
}

// horizon is when the driver is to report Timer while attempts are under way.
func (s *simCall) horizon() time.Time {
	t := &s.settings().Settings.Timeouts
	until := s.hedgesAt()
	for id := range s.live().All() {
		a := &s.attempts[id]
		until = soonest(until, s.deadline)
		until = soonest(until, a.until)
		if a.waits.IsZero() {
			continue
		}
		if a.perTry > 0 {
			until = soonest(until, a.waits.Add(a.perTry-a.waited))
		}
		if t.ResponseHeader > 0 && !a.written.IsZero() {
			until = soonest(until, a.written.Add(t.ResponseHeader))
		}
	}
	return until
}

// soonest returns the sooner of two times; zero ones never come.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
