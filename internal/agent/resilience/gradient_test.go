package resilience

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const minute = time.Minute

// upstreamSim is an upstream that serves some calls at once and lets the others queue, and those who call it at random.
type upstreamSim struct {
	random   *rand.Rand
	limit    *Concurrency // nil: none
	gate     *ConcurrencyGate
	servers  int
	service  time.Duration // on average
	patience time.Duration // of callers

	now    time.Duration
	queue  []*simCall
	busy   int
	events simEvents
	stats  simStats
}

type simCall struct {
	Waiter
	came, until time.Duration
	over        bool // its caller has gone
}

// simStats are about a stretch of time.
type simStats struct {
	offered, refused, good, late int
	took                         []time.Duration // of the good ones
}

type simEvent struct {
	at   time.Duration
	what func()
}

type simEvents []simEvent

func (e simEvents) Len() int           { return len(e) }
func (e simEvents) Less(i, j int) bool { return e[i].at < e[j].at }
func (e simEvents) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *simEvents) Push(x any)        { *e = append(*e, x.(simEvent)) }
func (e *simEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newUpstreamSim(seed uint64, adaptive *policy.AdaptiveConcurrency) *upstreamSim {
	s := &upstreamSim{random: rand.New(rand.NewPCG(seed, 9)), servers: 20, service: 50 * time.Millisecond, patience: time.Second}
	if adaptive != nil {
		s.limit = NewConcurrency(policy.Concurrency{Adaptive: adaptive}, t0)
		s.gate = s.limit.Gate()
	}
	return s
}

// capacity is how many calls the upstream can answer in a second.
func (s *upstreamSim) capacity() float64 { return float64(s.servers) / s.service.Seconds() }

func (s *upstreamSim) at(when time.Duration, what func()) { heap.Push(&s.events, simEvent{when, what}) }

// run has calls come at a share of the capacity for some time, and returns what became of them.
func (s *upstreamSim) run(share float64, d time.Duration) simStats {
	s.stats = simStats{}
	end, between := s.now+d, float64(time.Second)/(share*s.capacity())
	next := s.now
	for {
		next += time.Duration(s.random.ExpFloat64() * between)
		for len(s.events) > 0 && s.events[0].at <= min(next, end) {
			e := heap.Pop(&s.events).(simEvent)
			s.now = e.at
			e.what()
		}
		if next >= end {
			s.now = end
			return s.stats
		}
		s.now = next
		s.arrive()
	}
}

func (s *upstreamSim) arrive() {
	s.stats.offered++
	c := &simCall{came: s.now, until: s.now + s.patience}
	if s.limit != nil {
		if e := s.gate.Enter(t0.Add(s.now), &c.Waiter); e.Verdict != Pass {
			s.stats.refused++
			return
		}
	}
	s.at(c.until, func() { s.giveUp(c) })
	s.queue = append(s.queue, c)
	s.serve()
}

// serve has free servers take calls. They do not know who has gone: that is what ruins a queue.
func (s *upstreamSim) serve() {
	for s.busy < s.servers && len(s.queue) > 0 {
		c := s.queue[0]
		s.queue = s.queue[1:]
		s.busy++
		took := time.Duration((0.5 + s.random.ExpFloat64()/2) * float64(s.service))
		s.at(s.now+took, func() { s.served(c) })
	}
}

func (s *upstreamSim) served(c *simCall) {
	s.busy--
	if !c.over {
		c.over = true
		s.stats.good++
		s.stats.took = append(s.stats.took, s.now-c.came)
		s.leave(c, Result{Took: s.now - c.came})
	}
	s.serve()
}

func (s *upstreamSim) giveUp(c *simCall) {
	if c.over {
		return
	}
	c.over = true
	s.stats.late++
	s.leave(c, Result{Failed: true, TimedOut: true, Took: s.now - c.came})
}

func (s *upstreamSim) leave(c *simCall, r Result) {
	if s.limit != nil {
		s.gate.Leave(t0.Add(s.now), &c.Waiter, r)
	}
}

func (s simStats) quantile(q float64) time.Duration {
	slices.Sort(s.took)
	return s.took[int(q*float64(len(s.took)-1))]
}

// goodput is what share of the upstream's capacity went into answers that somebody still waited for.
func (s *upstreamSim) goodput(of simStats, d time.Duration) float64 {
	return float64(of.good) / (s.capacity() * d.Seconds())
}

// The limit converges, protects an upstream that is offered 120 % of what it can serve, and is out of the way again when the load has
// gone. Without it nearly every answer comes too late.
func TestAdaptiveConcurrencyProtectsAndRecovers(t *testing.T) {
	bounds := policy.DefaultAdaptiveConcurrency()
	for seed := range uint64(2) {
		s, bare := newUpstreamSim(seed, &bounds), newUpstreamSim(seed, nil)
		if light := s.run(0.5, minute); light.refused > light.offered/200 {
			t.Errorf("seed %d: at half the load %d of %d calls were refused", seed, light.refused, light.offered)
		}
		s.run(1.2, 5*time.Second) // it finds its level
		full := s.run(1.2, 2*minute)
		if g := s.goodput(full, 2*minute); g < 0.95 || full.late > full.offered/1000 || full.quantile(0.99) > 8*s.service {
			t.Errorf("seed %d: overloaded: goodput %.2f, %d late, p99 %v", seed, g, full.late, full.quantile(0.99))
		}
		bare.run(1.2, 15*time.Second)
		if g := bare.goodput(bare.run(1.2, minute/2), minute/2); g > 0.2 {
			t.Errorf("seed %d: without a limit the goodput is %.2f: the test shows little", seed, g)
		}
		s.run(0.5, time.Second)
		if after := s.run(0.5, minute); after.refused > after.offered/200 || after.late > 0 {
			t.Errorf("seed %d: afterwards %d of %d calls were refused, %d late", seed, after.refused, after.offered, after.late)
		}
	}
}

// An upstream that becomes slower or smaller is followed, and so is its recovery.
func TestAdaptiveConcurrencyFollowsTheUpstream(t *testing.T) {
	bounds := policy.DefaultAdaptiveConcurrency()
	for name, change := range map[string]func(*upstreamSim){
		"half the servers":  func(s *upstreamSim) { s.servers /= 2 },
		"twice as slow":     func(s *upstreamSim) { s.service *= 2 },
		"twice the servers": func(s *upstreamSim) { s.servers *= 2 },
		"twice as fast":     func(s *upstreamSim) { s.service /= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newUpstreamSim(7, &bounds)
			s.run(1.1, 20*time.Second)
			change(s)
			s.run(1.1, 10*time.Second)
			got := s.run(1.1, minute)
			if g := s.goodput(got, minute); g < 0.9 || got.late > got.offered/500 {
				t.Errorf("goodput %.2f, %d of %d late, limit %d", g, got.late, got.offered, s.limit.Status().Limit)
			}
		})
	}
}

// What says nothing about the load moves nothing.
func TestAdaptiveConcurrencyIgnoresWhatSaysNothing(t *testing.T) {
	for name, r := range map[string]Result{
		"a call refused behind the gate": {Failed: true, Unstarted: true},
		"a call that fails at once":      {Failed: true, Took: time.Microsecond},
		"a call that is given up early":  {GivenUp: true, Failed: true, Took: time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			g, now := newGradient(1, 1000), time.Duration(0)
			for range 100 {
				now += 10 * time.Millisecond
				g.add(now, Result{Took: 50 * time.Millisecond}, 100)
			}
			before := *g
			for range 1000 {
				now += 10 * time.Millisecond
				g.add(now, r, 100)
			}
			if g.limit != before.limit || g.unqueued != before.unqueued {
				t.Errorf("limit %v and %v, were %v and %v", g.limit, g.unqueued, before.limit, before.unqueued)
			}
		})
	}
}

// The limit keeps within its bounds, whatever calls take.
func TestAdaptiveConcurrencyKeepsItsBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		lowest := 1 + random.IntN(50)
		highest := lowest + random.IntN(50)
		g, now := newGradient(lowest, highest), time.Duration(0)
		for range 5000 {
			now += time.Duration(random.IntN(int(20 * time.Millisecond)))
			g.add(now, Result{Took: time.Duration(random.ExpFloat64() * float64(time.Second)), Failed: random.IntN(9) == 0, TimedOut: true}, random.IntN(100))
			if p := g.places(); p < lowest || p > highest {
				t.Fatalf("%d places, want from %d to %d", p, lowest, highest)
			}
		}
	}
}
