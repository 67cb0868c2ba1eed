package resilience

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// plainPlaces is the plain way to limit how many run: a count, and a list of calls that wait for each pod.
type plainPlaces struct {
	cfg     policy.Concurrency
	running map[int]bool
	ring    []int // pods that have calls waiting, the next one first
	queues  map[int][]int
}

func (m *plainPlaces) waiting() (n int) {
	for _, q := range m.queues {
		n += len(q)
	}
	return n
}

func (m *plainPlaces) leaveQueue(pod, call int) {
	m.queues[pod] = slices.DeleteFunc(m.queues[pod], func(c int) bool { return c == call })
	if len(m.queues[pod]) == 0 {
		m.ring = slices.DeleteFunc(m.ring, func(p int) bool { return p == pod })
	}
}

// arrive returns what becomes of a call: it runs, waits, or is refused.
func (m *plainPlaces) arrive(pod, call int) Verdict {
	switch {
	case m.waiting() == 0 && len(m.running) < m.cfg.Max:
		m.running[call] = true
		return Pass
	case m.waiting() >= m.cfg.MaxQueued && !m.makeWay(pod):
		return Refuse
	}
	if len(m.queues[pod]) == 0 {
		m.ring = append(m.ring, pod)
	}
	m.queues[pod] = append(m.queues[pod], call)
	return Park
}

func (m *plainPlaces) makeWay(pod int) bool {
	most := -1
	for _, p := range m.ring {
		if most < 0 || len(m.queues[p]) > len(m.queues[most]) {
			most = p
		}
	}
	if most < 0 || len(m.queues[most]) <= len(m.queues[pod])+1 {
		return false
	}
	q := m.queues[most]
	m.leaveQueue(most, q[len(q)-1])
	return true
}

// grant gives free places to those who wait.
func (m *plainPlaces) grant() {
	for len(m.ring) > 0 && len(m.running) < m.cfg.Max {
		pod := m.ring[0]
		call := m.queues[pod][0]
		m.ring = append(m.ring[1:], pod)
		m.leaveQueue(pod, call)
		m.running[call] = true
	}
}

// placedCall is a call of the test.
type placedCall struct {
	Waiter
	id, pod int
	waits   bool
	woken   bool
}

// A call runs, waits and is refused exactly as plain counting has it, whatever comes and goes; nobody waits while a place is free, and
// nobody runs beyond the limit.
func TestConcurrencyIsWhatPlainCountingSays(t *testing.T) {
	ran, waited, evicted := 0, 0, 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 5))
		cfg := policy.Concurrency{Max: 1 + random.IntN(4), MaxQueued: random.IntN(8), MaxWait: time.Hour}
		c := NewConcurrency(cfg, t0)
		plain := &plainPlaces{cfg: cfg, running: map[int]bool{}, queues: map[int][]int{}}
		gates := []*ConcurrencyGate{c.Gate(), c.Gate(), c.Gate()}
		var calls []*placedCall
		for id := range 300 {
			switch random.IntN(5) {
			case 0, 1, 2:
				x := &placedCall{id: id, pod: random.IntN(len(gates))}
				x.Wake = func() { x.woken = true }
				want := plain.arrive(x.pod, x.id)
				if e := gates[x.pod].Enter(t0, &x.Waiter); e.Verdict != want {
					t.Fatalf("seed %d: call %d: %d, want %d", seed, id, e.Verdict, want)
				}
				if x.waits = want == Park; want != Refuse {
					calls = append(calls, x)
				}
			case 3:
				if len(calls) == 0 {
					continue
				}
				i := random.IntN(len(calls))
				x := calls[i]
				calls = slices.Delete(calls, i, i+1)
				delete(plain.running, x.id)
				plain.leaveQueue(x.pod, x.id)
				gates[x.pod].Leave(t0, &x.Waiter, Result{})
				plain.grant()
			default:
				plain.cfg.Max = 1 + random.IntN(4)
				changed := plain.cfg
				c.Reconfigure(changed)
				plain.grant()
			}
			calls = slices.DeleteFunc(calls, func(x *placedCall) bool {
				if !x.woken {
					return false
				}
				x.woken = false
				e := gates[x.pod].Enter(t0, &x.Waiter)
				if runs := plain.running[x.id]; runs != (e.Verdict == Pass) || !runs && e.Verdict != Refuse {
					t.Fatalf("seed %d: call %d was woken and has %d; it should run: %v", seed, x.id, e.Verdict, runs)
				}
				if e.Verdict == Refuse {
					evicted++
				}
				x.waits = false
				waited++
				return e.Verdict == Refuse
			})
			s := c.Status()
			if want := (ConcurrencyStatus{plain.cfg.Max, len(plain.running), plain.waiting()}); s != want {
				t.Fatalf("seed %d: %+v, want %+v", seed, s, want)
			}
			ran = max(ran, s.Running)
		}
	}
	if ran != 4 || waited < 3000 || evicted < 300 {
		t.Errorf("%d ran at once, %d waited, %d made way: the test shows little", ran, waited, evicted)
	}
}

// However many come and go at once, no more run than may.
func TestConcurrencyIsExactWhenManyComeAtOnce(t *testing.T) {
	const limit, workers, each = 3, 8, 3000
	c := NewConcurrency(policy.Concurrency{Max: limit, MaxQueued: 4, MaxWait: time.Hour}, t0)
	gates := []*ConcurrencyGate{c.Gate(), c.Gate()}
	var running, passed atomic.Int64
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			woken := make(chan struct{}, 1)
			w := &Waiter{Wake: func() {
				select {
				case woken <- struct{}{}:
				default:
				}
			}}
			g := gates[i%len(gates)]
			for n := range each {
				e := g.Enter(t0, w)
				for e.Verdict == Park && n%7 != 0 {
					<-woken
					e = g.Enter(t0, w)
				}
				if e.Verdict == Refuse {
					continue
				}
				if e.Verdict == Pass {
					if now := running.Add(1); now > limit {
						t.Errorf("%d run", now)
					}
					passed.Add(1)
					running.Add(-1)
				}
				g.Leave(t0, w, Result{})
			}
		})
	}
	wg.Wait()
	if s := c.Status(); s != (ConcurrencyStatus{Limit: limit}) || c.line.turn != nil {
		t.Errorf("%+v is left", s)
	}
	if passed.Load() < each {
		t.Errorf("%d passed: the test shows little", passed.Load())
	}
}

func TestAConcurrencyWaitIsBounded(t *testing.T) {
	c := NewConcurrency(policy.Concurrency{Max: 1, MaxQueued: 1, MaxWait: time.Second}, t0)
	g, first, second := c.Gate(), &Waiter{}, &Waiter{}
	if e := g.Enter(t0, first); e.Verdict != Pass {
		t.Fatalf("%+v", e)
	}
	e := g.Enter(t0, second)
	if e.Verdict != Park || !e.Until.Equal(t0.Add(time.Second)) {
		t.Fatalf("%+v", e)
	}
	if e := g.Enter(t0.Add(time.Second-1), second); e.Verdict != Park || !e.Until.Equal(t0.Add(time.Second)) {
		t.Errorf("it asked early: %+v", e)
	}
	if e := g.Enter(t0.Add(time.Second), second); e.Verdict != Refuse || e.RetryAfter != time.Second {
		t.Errorf("in the end: %+v", e)
	}
	if s := c.Status(); s != (ConcurrencyStatus{Limit: 1, Running: 1}) {
		t.Errorf("%+v", s)
	}
}

// A place that was given to a call whose client leaves before it comes for it goes on to the next.
func TestAPlaceThatIsNotFetchedGoesOn(t *testing.T) {
	c := NewConcurrency(policy.Concurrency{Max: 1, MaxQueued: 2, MaxWait: time.Hour}, t0)
	g, ws := c.Gate(), [3]Waiter{}
	for i := range ws {
		g.Enter(t0, &ws[i])
	}
	g.Leave(t0, &ws[0], Result{})
	g.Leave(t0, &ws[1], Result{GivenUp: true})
	if e := g.Enter(t0, &ws[2]); e.Verdict != Pass {
		t.Errorf("%+v", e)
	}
	if e := g.Enter(t0, &ws[0]); e.Verdict != Park {
		t.Errorf("a waiter that is used again: %+v", e)
	}
}

// A call that has made way for another pod's is refused once, and its waiter is good for the next call.
func TestAWaiterThatMadeWayIsUsedAgain(t *testing.T) {
	c := NewConcurrency(policy.Concurrency{Max: 1, MaxQueued: 2, MaxWait: time.Hour}, t0)
	greedy, other, ws := c.Gate(), c.Gate(), [4]Waiter{}
	for i := range 3 {
		greedy.Enter(t0, &ws[i])
	}
	if e := other.Enter(t0, &ws[3]); e.Verdict != Park {
		t.Fatalf("%+v", e)
	}
	if e := greedy.Enter(t0, &ws[2]); e.Verdict != Refuse {
		t.Fatalf("%+v", e)
	}
	for i, g := range []*ConcurrencyGate{greedy, greedy, other} {
		g.Leave(t0, &ws[[]int{0, 1, 3}[i]], Result{})
	}
	if e := greedy.Enter(t0, &ws[2]); e.Verdict != Pass {
		t.Errorf("%+v", e)
	}
}

// An edit keeps what an adaptive limit has found, unless it is one of its bounds.
func TestAnEditOfAnAdaptiveLimitKeepsWhatItFound(t *testing.T) {
	bounds := func(lowest, highest int) *policy.AdaptiveConcurrency {
		return &policy.AdaptiveConcurrency{Min: lowest, Max: highest}
	}
	c := NewConcurrency(policy.Concurrency{Adaptive: bounds(4, 100)}, t0)
	atFirst := c.Status().Limit
	c.adaptive.limit = 33
	if c.Reconfigure(policy.Concurrency{Adaptive: bounds(4, 100), MaxQueued: 9}); c.Status().Limit != 33 {
		t.Errorf("%+v after an edit of the queue", c.Status())
	}
	if c.Reconfigure(policy.Concurrency{Adaptive: bounds(4, 90)}); c.Status().Limit != atFirst {
		t.Errorf("%+v after an edit of the bounds", c.Status())
	}
}

func BenchmarkConcurrencyPasses(b *testing.B) {
	c := NewConcurrency(policy.Concurrency{Max: 10}, t0)
	g, w := c.Gate(), &Waiter{}
	b.ReportAllocs()
	for b.Loop() {
		if e := g.Enter(t0, w); e.Verdict != Pass {
			b.Fatal(e)
		}
		g.Leave(t0, w, Result{Took: time.Millisecond})
	}
}
