package resilience

import (
	"math"
	"slices"
	"time"
)

// gradient finds how many calls an upstream can serve at once, from how long it takes. It is the gradient controller of Envoy's adaptive
// concurrency filter, which comes from Netflix's concurrency-limits: with the time that a call takes when nothing queues, and the time
// that calls have taken lately, the limit becomes
//
//	limit × (unqueued × 1.25 / lately) + √limit
//
// and settles where about √limit calls queue at the upstream. The first factor is from 0.5 to 1; where the calls that run are fewer than half the limit, they say
// nothing about it, and it does not grow.
//
// What a call takes when nothing queues is the lowest median so far, and is measured anew every 30 s: the limit is halved
// until calls that have begun since have ended. (Envoy goes down to 3 calls for that. Half is enough as long as fewer calls
// queue than are served, which is what the limit is for, and costs less.) It is measured at once when the limit has fallen by half: then the
// upstream has become slower, rather than fuller.
//
// It has no lock of its own.
type gradient struct {
	min, max float64

	limit    float64
	unqueued time.Duration // 0: not known yet
	window   latencyWindow

	probing bool
	after   time.Duration // calls that have begun since count, while probing
	next    time.Duration // when to probe
	before  float64       // the limit at the end of the last probe
}

const (
	// windowSpan is for how long latencies are collected at least, and windowCalls from how many calls. Envoy's windows end after the span, whatever
	// is in them, and Netflix's are thrown away with fewer calls. These wait for as many, so that upstreams are followed that get few calls, or slow
	// ones, but start again where no call ran for stale: what was before says nothing any more.
	windowSpan, windowCalls = 100 * time.Millisecond, 10
	stale                   = 30 * time.Second
	// tolerance is how much longer than unqueued a call may take before the limit falls.
	tolerance = 1.25
	// probeInterval is how often the latency without a queue is measured, and probeCalls is how many times longer than a probe it is at least.
	probeInterval = 30 * time.Second
	probeShare    = 20
)

func newGradient(lowest, highest int) *gradient {
	g := &gradient{min: float64(max(lowest, 1)), max: float64(max(highest, lowest, 1))}
	g.limit = min(max(g.min, 20), g.max) // as Netflix has it at first
	g.before = g.limit
	return g
}

// places is how many calls may run at once now.
func (g *gradient) places() int {
	if g.probing {
		return int(max(g.limit/2, g.min))
	}
	return int(g.limit)
}

// add takes in how a call has ended, at a time since some origin. running were under way, that one included.
func (g *gradient) add(now time.Duration, r Result, running int) {
	g.window.busiest = max(g.window.busiest, running)
	if !g.counts(r) || g.probing && now-r.Took < g.after {
		return
	}
	if g.window.n > 0 && now-r.Took-g.window.last > stale {
		g.window = latencyWindow{busiest: running}
	}
	g.window.add(now, r.Took)
	if g.window.n < windowCalls || now-g.window.began < max(windowSpan, g.unqueued) {
		return
	}
	lately := g.window.median()
	if g.probing {
		g.endProbe(now, lately)
	} else {
		g.adapt(now, lately)
	}
	g.window = latencyWindow{}
}

// counts reports whether how long a call has taken says something about the upstream's load. One that failed because it took too long has
// taken at least that long, and so has one that was given up, which says something if that is long. What fails otherwise may fail at once.
func (g *gradient) counts(r Result) bool {
	switch {
	case r.Unstarted:
		return false
	case r.GivenUp:
		return g.unqueued > 0 && float64(r.Took) > tolerance*float64(g.unqueued)
	}
	return !r.Failed || r.TimedOut
}

// adapt changes the limit by what calls have taken lately.
func (g *gradient) adapt(now time.Duration, lately time.Duration) {
	if g.unqueued == 0 {
		g.next = now + probeInterval
	}
	if g.unqueued == 0 || lately < g.unqueued {
		g.unqueued = lately
	}
	slope := tolerance * float64(g.unqueued) / float64(max(lately, 1))
	limit := g.limit*min(max(slope, 0.5), 1) + math.Sqrt(g.limit)
	if limit > g.limit && 2*g.window.busiest < int(g.limit) {
		limit = g.limit
	}
	g.limit = min(max(limit, g.min), g.max)
	if now >= g.next || g.limit <= g.before/2 {
		g.probing = true
		g.after = now + lately // by then those that queue have been served
	}
}

// endProbe takes the latency that a probe has found.
func (g *gradient) endProbe(now time.Duration, found time.Duration) {
	g.probing = false
	g.unqueued = found
	g.before = g.limit
	g.next = now + max(probeInterval, probeShare*2*found)
}

// latencyWindow holds what calls have taken lately: the latest of them, which are enough for a median.
type latencyWindow struct {
	began   time.Duration
	last    time.Duration // when the last call ended
	n       int           // calls
	busiest int           // the most that have run at once
	sample  [64]time.Duration
}

func (w *latencyWindow) add(now, took time.Duration) {
	if w.n == 0 {
		w.began = now
	}
	w.sample[w.n%len(w.sample)] = took
	w.n++
	w.last = now
}

func (w *latencyWindow) median() time.Duration {
	all := w.sample[:min(w.n, len(w.sample))]
	slices.Sort(all)
	return all[len(all)/2]
}
