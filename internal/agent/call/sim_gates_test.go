package call

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// simGate is a gate that finds out whether calls keep to the rules of gates.
type simGate interface {
	Gate
	// state returns what went wrong, and how many waiters are at the gate or behind it.
	state() (int, error)
}

func simGates(random *rand.Rand) []Gate {
	rate := &simRate{
		every: time.Duration(random.IntN(5000)) * time.Microsecond, maxWait: time.Duration(random.IntN(100)) * ms,
		reserved: map[*resilience.Waiter]time.Time{}, inside: map[*resilience.Waiter]bool{},
	}
	places := &simPlaces{
		places: 1 + random.IntN(8), longest: random.IntN(6), maxWait: time.Duration(random.IntN(100)) * ms,
		inside: map[*resilience.Waiter]bool{},
	}
	real := simReal(random)
	return [][]Gate{{rate}, {places}, {rate, places}, {places, rate}, {real[0]}, {real[1]}, real}[random.IntN(7)]
}

// simReal are the limits that calls have: a place, and then their turn.
func simReal(random *rand.Rand) []Gate {
	adaptive := &policy.AdaptiveConcurrency{Min: 1, Max: 1 + random.IntN(20)}
	if random.IntN(2) == 0 {
		adaptive = nil
	}
	longest := time.Duration(random.IntN(100)) * ms
	places := resilience.NewConcurrency(policy.Concurrency{
		Max: 1 + random.IntN(8), Adaptive: adaptive, MaxQueued: random.IntN(6), MaxWait: longest,
	}, t0)
	rate := resilience.NewRateLimit(policy.RateLimit{
		Requests: 1 + random.IntN(1000), Per: time.Second, Burst: 1 + random.IntN(10), MaxWait: longest,
	}, t0)
	return []Gate{simPlacesReal{places.Gate(), places}, simRateReal{rate.Gate(), rate}}
}

type simPlacesReal struct {
	*resilience.ConcurrencyGate
	limit *resilience.Concurrency
}

func (g simPlacesReal) state() (int, error) {
	s := g.limit.Status()
	return s.Running + s.Waiting, nil
}

// simRateReal counts those who wait alone: it does not know who has passed.
type simRateReal struct {
	*resilience.RateGate
	limit *resilience.RateLimit
}

func (g simRateReal) state() (int, error) { return g.limit.Waiting(), nil }

// simRate is a rate limit: waits are reservations.
type simRate struct {
	every, maxWait time.Duration

	mu       sync.Mutex
	next     time.Time // the first moment that is not taken
	reserved map[*resilience.Waiter]time.Time
	inside   map[*resilience.Waiter]bool
	err      error
}

func (g *simRate) Enter(now time.Time, w *resilience.Waiter) resilience.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[w] {
		g.err = errors.New("a call that passed a rate limit asks again")
	}
	at, again := g.reserved[w]
	if !again {
		at = now
		if g.next.After(now) {
			at = g.next
		}
		if at.Sub(now) > g.maxWait {
			return resilience.Entry{Verdict: resilience.Refuse}
		}
		g.next = at.Add(g.every)
	}
	if at.After(now) {
		g.reserved[w] = at
		return resilience.Entry{Verdict: resilience.Wait, Until: at}
	}
	delete(g.reserved, w)
	g.inside[w] = true
	return resilience.Entry{}
}

func (g *simRate) Leave(_ time.Time, w *resilience.Waiter, _ resilience.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, waits := g.reserved[w]
	if waits == g.inside[w] {
		g.err = errors.New("a call leaves a rate limit where it is not")
	}
	delete(g.reserved, w)
	delete(g.inside, w)
}

func (g *simRate) state() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.reserved) + len(g.inside), g.err
}

// simPlaces is a limit of concurrency: calls are parked and woken in turn.
type simPlaces struct {
	places, longest int
	maxWait         time.Duration

	mu     sync.Mutex
	inside map[*resilience.Waiter]bool
	queue  []*simQueueing
	err    error
}

type simQueueing struct {
	w     *resilience.Waiter
	until time.Time
	woken bool // it has a place
}

func (g *simPlaces) Enter(now time.Time, w *resilience.Waiter) resilience.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[w] {
		g.err = errors.New("a call that has a place asks again")
	}
	i := slices.IndexFunc(g.queue, func(q *simQueueing) bool { return q.w == w })
	switch {
	case i < 0 && len(g.queue) == 0 && len(g.inside) < g.places, i >= 0 && g.queue[i].woken:
		if i >= 0 {
			g.queue = slices.Delete(g.queue, i, i+1)
		}
		g.inside[w] = true
		return resilience.Entry{}
	case i < 0 && len(g.queue) < g.longest:
		q := &simQueueing{w: w, until: now.Add(g.maxWait)}
		g.queue = append(g.queue, q)
		return resilience.Entry{Verdict: resilience.Park, Until: q.until}
	case i >= 0 && now.Before(g.queue[i].until):
		return resilience.Entry{Verdict: resilience.Park, Until: g.queue[i].until}
	case i >= 0:
		g.queue = slices.Delete(g.queue, i, i+1)
		g.wake()
	}
	return resilience.Entry{Verdict: resilience.Refuse}
}

func (g *simPlaces) Leave(_ time.Time, w *resilience.Waiter, _ resilience.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.queue, func(q *simQueueing) bool { return q.w == w })
	if (i >= 0) == g.inside[w] {
		g.err = errors.New("a call leaves a place that it does not have")
	}
	delete(g.inside, w)
	if i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	}
	g.wake()
}

// wake gives free places to those who have waited longest.
func (g *simPlaces) wake() {
	taken := len(g.inside)
	for _, q := range g.queue {
		if taken++; taken > g.places {
			return
		}
		if !q.woken {
			q.woken = true
			if q.w.Wake != nil {
				q.w.Wake()
			}
		}
	}
}

func (g *simPlaces) state() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.inside) > g.places {
		return 0, errors.New("more calls than places")
	}
	return len(g.inside) + len(g.queue), g.err
}
