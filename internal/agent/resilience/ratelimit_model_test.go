package resilience

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// plainLimit is the plain way to limit a rate: a bucket that fills, and a list of calls that wait for each pod. Whoever is next is served
// as soon as there is a token.
type plainLimit struct {
	every, size, maxWait time.Duration // size is what the bucket holds, in time
	now                  time.Duration
	level                time.Duration
	ring                 []int // pods that have calls waiting, the next one first
	queues               map[int][]int
	served               map[int]time.Duration // by call
}

func newPlainLimit(every time.Duration, burst int, maxWait time.Duration) *plainLimit {
	size := every * time.Duration(burst)
	return &plainLimit{every: every, size: size, level: size, maxWait: maxWait, queues: map[int][]int{}, served: map[int]time.Duration{}}
}

// advance serves those whose time comes up to a time.
func (m *plainLimit) advance(to time.Duration) {
	for len(m.ring) > 0 && m.level < m.every {
		wait := m.every - m.level
		if m.now+wait > to {
			break
		}
		m.pass(m.now + wait)
		m.serve()
	}
	for len(m.ring) > 0 && m.level >= m.every {
		m.serve()
	}
	m.pass(to)
}

func (m *plainLimit) pass(to time.Duration) {
	m.level = min(m.level+to-m.now, m.size)
	m.now = to
}

func (m *plainLimit) serve() {
	pod := m.ring[0]
	m.ring = m.ring[1:]
	call := m.queues[pod][0]
	if m.queues[pod] = m.queues[pod][1:]; len(m.queues[pod]) > 0 {
		m.ring = append(m.ring, pod)
	}
	m.level -= m.every
	m.served[call] = m.now
}

// arrive adds a call, and refuses it if it would wait too long with nobody coming after it.
func (m *plainLimit) arrive(pod, call int) bool {
	m.add(pod, call)
	future := m.clone()
	future.advance(m.now + m.maxWait)
	if _, fits := future.served[call]; !fits {
		m.leave(pod, call)
		return false
	}
	m.advance(m.now)
	return true
}

func (m *plainLimit) add(pod, call int) {
	if len(m.queues[pod]) == 0 {
		m.ring = append(m.ring, pod)
	}
	m.queues[pod] = append(m.queues[pod], call)
}

func (m *plainLimit) leave(pod, call int) {
	m.queues[pod] = slices.DeleteFunc(m.queues[pod], func(c int) bool { return c == call })
	if len(m.queues[pod]) == 0 {
		m.ring = slices.DeleteFunc(m.ring, func(p int) bool { return p == pod })
	}
}

func (m *plainLimit) clone() *plainLimit {
	c := *m
	c.ring = slices.Clone(m.ring)
	c.queues, c.served = map[int][]int{}, map[int]time.Duration{}
	for pod, q := range m.queues {
		c.queues[pod] = slices.Clone(q)
	}
	return &c
}

// limitedCall is a call of the test, and its driver's state.
type limitedCall struct {
	Waiter
	id, pod int
	came    time.Duration
	woken   bool
	asks    time.Time
}

// limitRig drives calls through a RateLimit punctually, and a plainLimit beside it.
type limitRig struct {
	t       *testing.T
	random  *rand.Rand
	limit   *RateLimit
	gates   []*RateGate
	plain   *plainLimit
	now     time.Duration
	calls   int
	waiting []*limitedCall
	passed  map[int]time.Duration
}

func newLimitRig(t *testing.T, random *rand.Rand) *limitRig {
	every, burst := time.Duration(1+random.IntN(1000)), 1+random.IntN(5)
	wait := time.Duration(random.IntN(20)) * every
	limit := NewRateLimit(policy.RateLimit{Requests: 1, Per: every, Burst: burst, MaxWait: wait}, t0)
	r := &limitRig{t: t, random: random, limit: limit, plain: newPlainLimit(every, burst, wait), passed: map[int]time.Duration{}}
	for range 1 + random.IntN(4) {
		r.gates = append(r.gates, limit.Gate())
	}
	return r
}

// ask has a call ask its gate, and reports whether it waits.
func (r *limitRig) ask(c *limitedCall) (Entry, bool) {
	c.woken = false
	e := r.gates[c.pod].Enter(t0.Add(r.now), &c.Waiter)
	switch e.Verdict {
	case Pass:
		r.passed[c.id] = r.now
	case Park:
		if !e.Until.After(t0.Add(r.now)) {
			r.t.Fatalf("parked until now")
		}
		c.asks = e.Until
	case Refuse, Wait:
	}
	return e, e.Verdict == Park
}

// askDue has all ask whose time has come, or who have been woken, whose turn is first first.
func (r *limitRig) askDue() {
	for {
		first := -1
		for i, c := range r.waiting {
			due := c.woken || !c.asks.After(t0.Add(r.now))
			if due && (first < 0 || r.limit.line.position(&c.Waiter) < r.limit.line.position(&r.waiting[first].Waiter)) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		if _, waits := r.ask(r.waiting[first]); !waits {
			r.waiting = slices.Delete(r.waiting, first, first+1)
		}
	}
}

func (r *limitRig) advance(to time.Duration) {
	for r.now < to {
		next := to
		for _, c := range r.waiting {
			next = min(next, c.asks.Sub(t0))
		}
		r.now = next
		r.plain.advance(next)
		r.plain.expire(r.waiting, next)
		r.askDue()
	}
}

// expire takes calls out that have waited for as long as they may: others came after them and went before.
func (m *plainLimit) expire(waiting []*limitedCall, now time.Duration) {
	for _, c := range waiting {
		if _, served := m.served[c.id]; !served && now >= c.came+m.maxWait {
			m.leave(c.pod, c.id)
		}
	}
}

func (r *limitRig) arrive() {
	r.calls++
	c := &limitedCall{id: r.calls, pod: r.random.IntN(len(r.gates)), came: r.now}
	c.Wake = func() { c.woken = true }
	fits := r.plain.arrive(c.pod, c.id)
	e, waits := r.ask(c)
	if (e.Verdict != Refuse) != fits {
		r.t.Fatalf("call %d at %v: verdict %d, want it to fit: %v", c.id, r.now, e.Verdict, fits)
	}
	if waits {
		r.waiting = append(r.waiting, c)
	}
	r.askDue()
}

func (r *limitRig) leave() {
	if len(r.waiting) == 0 {
		return
	}
	i := r.random.IntN(len(r.waiting))
	c := r.waiting[i]
	r.waiting = slices.Delete(r.waiting, i, i+1)
	r.gates[c.pod].Leave(t0.Add(r.now), &c.Waiter, Result{GivenUp: true})
	r.plain.leave(c.pod, c.id)
	r.askDue()
}

// Calls that ask when they are to pass at the very moments at which plain counting would have them served, and those are refused that
// it would refuse: whatever comes and goes.
func TestRule24_CallsPassExactlyWhenPlainCountingHasThem(t *testing.T) {
	passed, waited, refused := 0, 0, 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 24))
		r := newLimitRig(t, random)
		for range 200 {
			switch random.IntN(8) {
			case 0:
				r.leave()
			case 1, 2, 3:
				r.advance(r.now + time.Duration(random.IntN(int(3*r.plain.every))))
			default:
				r.arrive()
			}
			if r.limit.Waiting() != len(r.waiting) {
				t.Fatalf("seed %d: %d wait, want %d", seed, r.limit.Waiting(), len(r.waiting))
			}
		}
		r.advance(r.now + 2*r.plain.maxWait + 10*r.plain.every)
		for id, at := range r.plain.served {
			if got, ok := r.passed[id]; !ok || got != at {
				t.Fatalf("seed %d: call %d passed %v at %v, want %v", seed, id, ok, got, at)
			}
			if at != 0 {
				waited++
			}
		}
		if len(r.passed) != len(r.plain.served) || len(r.waiting) != 0 || r.limit.line.turn != nil {
			t.Fatalf("seed %d: %d passed, want %d; %d are left", seed, len(r.passed), len(r.plain.served), len(r.waiting))
		}
		passed, refused = passed+len(r.passed), refused+r.calls-len(r.passed)
	}
	if passed < 5000 || waited < 5000 || refused < 5000 {
		t.Errorf("%d passed, %d later than at once, %d refused: the test shows little", passed, waited, refused)
	}
}
