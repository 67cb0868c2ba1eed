package main

import (
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// phase is a stretch of time with a load, as a part of what the upstream can serve.
type phase struct {
	name  string
	until time.Duration
	load  float64
}

// phases are those of every run.
var phases = []phase{{"before", 30 * time.Second, 0.8}, {"overload", 90 * time.Second, 1.2}, {"after", 180 * time.Second, 0.8}}

// weights says what part of the calls come from each node.
var weights = []float64{0.4, 0.3, 0.3}

// world is one run: a load, three nodes, a manager and an upstream.
type world struct {
	clock    clock
	upstream upstream
	nodes    []*node
	record   record
	random   *rand.Rand // of the load
	callers  int
	idle     []*caller
}

// newWorld is a run that has not begun, of calls that come under a policy. Those of one seed have the same calls, whatever the policy.
func newWorld(m upstreamModel, settings *policy.Settings, seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1))}
	w.upstream = upstream{upstreamModel: m, clock: &w.clock, random: rand.New(rand.NewPCG(seed, 2))}
	for i, name := range []string{"node-a", "node-b", "node-c"} {
		w.nodes = append(w.nodes, newNode(name, settings, rand.New(rand.NewPCG(seed, 3+uint64(i)))))
	}
	newManager(&w.clock, settings.RateLimit, w.nodes)
	w.record = newRecord(&w.upstream)
	w.clock.after(w.untilNext(), w.arrive)
	return w
}

// run lets a world pass.
func (w *world) run() *record {
	w.clock.run(phases[len(phases)-1].until)
	return &w.record
}

// arrive has a call come: at random, and whatever has become of those before.
func (w *world) arrive() {
	w.record.offered(w.clock.now)
	w.caller().begin(w.pick())
	w.clock.after(w.untilNext(), w.arrive)
}

// untilNext is how long no call comes.
func (w *world) untilNext() time.Duration {
	load := phases[len(phases)-1].load
	for _, p := range phases {
		if w.clock.now < p.until {
			load = p.load
			break
		}
	}
	return time.Duration(w.random.ExpFloat64() * float64(time.Second) / (load * w.upstream.capacity()))
}

// pick draws the node of the next call.
func (w *world) pick() *node {
	at := w.random.Float64()
	for i, n := range w.nodes[:len(w.nodes)-1] {
		if at -= weights[i]; at < 0 {
			return n
		}
	}
	return w.nodes[len(w.nodes)-1]
}

// caller is one that has no call.
func (w *world) caller() *caller {
	if n := len(w.idle); n > 0 {
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return c
	}
	w.callers++
	return &caller{world: w}
}
