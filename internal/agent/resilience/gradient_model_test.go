package resilience

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// plainGradient is the adaptive limit as it is published, done the slow way: it keeps every call that has ended, and goes through those of a
// window again for each thing that it wants to know of them.
type plainGradient struct {
	lowest, highest int

	calls  []plainEnded // all of them
	window int          // the first call of the window

	limit      float64
	unqueued   time.Duration // 0: not known
	probeSince time.Duration // calls that begin from then on count while a probe is under way; 0: none is
	probeNext  time.Duration
	probeLimit float64 // the limit after the last probe
}

type plainEnded struct {
	began, ended time.Duration
	r            Result
	running      int
	says         bool // something about the load
}

func newPlainGradient(lowest, highest int) *plainGradient {
	m := &plainGradient{lowest: lowest, highest: highest}
	m.limit = m.bounded(20)
	m.probeLimit = m.limit
	return m
}

func (m *plainGradient) bounded(limit float64) float64 {
	return math.Min(math.Max(limit, float64(m.lowest)), float64(m.highest))
}

// places is the limit now: half of it while a probe is under way.
func (m *plainGradient) places() int {
	if m.probeSince > 0 {
		return int(math.Max(m.limit/2, float64(m.lowest)))
	}
	return int(m.limit)
}

// says reports whether a call says something about the load: one that ended well, one that was too slow, and one that was given up after it had
// been slow for long enough.
func (m *plainGradient) says(c plainEnded) bool {
	slow := m.unqueued > 0 && float64(c.r.Took) > 1.25*float64(m.unqueued)
	of := !c.r.Unstarted && (c.r.GivenUp && slow || !c.r.GivenUp && (!c.r.Failed || c.r.TimedOut))
	return of && (m.probeSince == 0 || c.began >= m.probeSince)
}

// latencies are what the calls of the window have taken that say something, in their order.
func (m *plainGradient) latencies() (took []time.Duration) {
	for _, c := range m.calls[m.window:] {
		if c.says {
			took = append(took, c.r.Took)
		}
	}
	return took
}

// span is the time between the first and the last call of the window that say something.
func (m *plainGradient) span() time.Duration {
	var ends []time.Duration
	for _, c := range m.calls[m.window:] {
		if c.says {
			ends = append(ends, c.ended)
		}
	}
	return ends[len(ends)-1] - ends[0]
}

// idle reports whether c comes so long after the last call of the window that those before it say nothing any more.
func (m *plainGradient) idle(c plainEnded) bool {
	for _, before := range slices.Backward(m.calls[m.window:]) {
		if before.says {
			return c.began-before.ended > 30*time.Second
		}
	}
	return false
}

// ends takes in a call that has ended, and returns what it has led to.
func (m *plainGradient) ends(c plainEnded) (what string) {
	c.says = m.says(c)
	if c.says && m.idle(c) {
		m.window, what = len(m.calls), "forgot"
	}
	m.calls = append(m.calls, c)
	if !c.says {
		return "ignored"
	}
	took := m.latencies()
	if len(took) < 10 || m.span() < 100*time.Millisecond || m.span() < m.unqueued {
		return what
	}
	latest := slices.Sorted(slices.Values(took[max(len(took)-64, 0):]))
	lately, busiest := latest[len(latest)/2], 0
	for _, c := range m.calls[m.window:] {
		busiest = max(busiest, c.running)
	}
	m.window = len(m.calls)
	if m.probeSince > 0 {
		m.probed(c.ended, lately)
		return "probed"
	}
	m.change(c.ended, lately, busiest)
	return "changed"
}

// change is the published formula.
func (m *plainGradient) change(now, lately time.Duration, busiest int) {
	if m.unqueued == 0 {
		m.probeNext = now + 30*time.Second
		m.unqueued = lately
	}
	m.unqueued = min(m.unqueued, lately)
	ratio := 1.25 * float64(m.unqueued) / math.Max(float64(lately), 1)
	next := m.limit*math.Max(0.5, math.Min(1, ratio)) + math.Sqrt(m.limit)
	if unused := busiest*2 < int(m.limit); !unused || next < m.limit {
		m.limit = next
	}
	m.limit = m.bounded(m.limit)
	if now >= m.probeNext || m.limit <= m.probeLimit/2 {
		m.probeSince = now + lately
	}
}

func (m *plainGradient) probed(now, found time.Duration) {
	m.probeSince, m.unqueued, m.probeLimit = 0, found, m.limit
	m.probeNext = now + max(30*time.Second, 40*found)
}

// randomCalls makes calls that end one after the other, at an upstream that changes, with idle times between them.
type randomCalls struct {
	random *rand.Rand
	now    time.Duration
	usual  time.Duration // latency
	every  time.Duration // between two calls
	bad    float64
	busy   int
}

func (g *randomCalls) change() {
	scale := func(least, most float64) time.Duration {
		return time.Duration(least * math.Pow(most/least, g.random.Float64()))
	}
	g.usual, g.every = scale(1e4, 1e10), scale(1e5, 1e9)
	g.bad, g.busy = g.random.Float64()*g.random.Float64(), 1+g.random.IntN(100)
}

func (g *randomCalls) next() plainEnded {
	if g.usual == 0 || g.random.IntN(200) == 0 {
		g.change()
	}
	if g.random.IntN(100) == 0 {
		g.now += time.Duration(g.random.Float64() * float64(time.Minute))
	}
	g.now += time.Duration(g.random.ExpFloat64() * float64(g.every))
	took := min(time.Duration(float64(g.usual)*(0.5+g.random.ExpFloat64()/2)), g.now)
	if g.random.IntN(50) == 0 {
		took = 0
	}
	c := plainEnded{began: g.now - took, ended: g.now, running: 1 + g.random.IntN(g.busy), r: Result{Took: took}}
	if g.random.Float64() < g.bad {
		c.r.Unstarted, c.r.GivenUp = g.random.IntN(4) == 0, g.random.IntN(3) == 0
		c.r.Failed, c.r.TimedOut = g.random.IntN(4) > 0, g.random.IntN(2) == 0
	}
	return c
}

// The limit is at every call exactly what the published algorithm makes of all calls.
func TestAdaptiveConcurrencyIsWhatTheAlgorithmSays(t *testing.T) {
	did := map[string]int{}
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 21))
		lowest := 1 + random.IntN(30)
		highest := lowest + random.IntN(300)
		g, m, calls := newGradient(lowest, highest), newPlainGradient(lowest, highest), randomCalls{random: random, now: time.Hour}
		for step := range 3000 {
			c := calls.next()
			before := g.limit
			did[m.ends(c)]++
			g.add(c.ended, c.r, c.running)
			if g.limit != m.limit || g.places() != m.places() || g.unqueued != m.unqueued {
				t.Fatalf("seed %d, step %d: limit %v, %d places, unqueued %v; want %v, %d and %v", seed, step, g.limit, g.places(), g.unqueued,
					m.limit, m.places(), m.unqueued)
			}
			switch {
			case g.limit < before:
				did["fell"]++
			case g.limit > before:
				did["rose"]++
			}
		}
	}
	for _, what := range []string{"forgot", "ignored", "probed", "changed", "fell", "rose"} {
		if did[what] < 200 {
			t.Errorf("%s %d times: the test shows little", what, did[what])
		}
	}
}

// What calls took before the upstream was idle for long says nothing of what they take after.
func TestAdaptiveConcurrencyForgetsWhatWasBeforeAnIdleTime(t *testing.T) {
	for name, tc := range map[string]struct {
		idle time.Duration
		want bool // forgotten
	}{
		"half a minute": {30 * time.Second, false},
		"longer":        {30*time.Second + 1, true},
		"an hour":       {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			const usual, slow = 10 * time.Millisecond, time.Second
			g, now := newGradient(1, 1000), time.Duration(0)
			for range 11 {
				now += usual
				g.add(now, Result{Took: usual}, 20)
			}
			known := g.limit
			for range windowCalls - 1 {
				now += usual
				g.add(now, Result{Took: slow}, 20)
			}
			now += tc.idle + usual
			g.add(now, Result{Took: usual}, 1)
			if g.unqueued != usual || (g.limit < known) == tc.want {
				t.Errorf("limit %v, was %v; unqueued %v", g.limit, known, g.unqueued)
			}
		})
	}
}

// Calls that take longer than that, one after the other, leave no idle time between them.
func TestAdaptiveConcurrencyTakesNoLongCallForAnIdleTime(t *testing.T) {
	g, now := newGradient(1, 1000), time.Duration(0)
	for range windowCalls {
		now += time.Minute
		g.add(now, Result{Took: time.Minute}, 1)
	}
	if g.unqueued != time.Minute {
		t.Errorf("%d calls are known, unqueued %v", g.window.n, g.unqueued)
	}
}
