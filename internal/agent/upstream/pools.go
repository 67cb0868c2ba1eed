package upstream

import (
	"context"
	"sync"
	"time"
)

// sweepEvery is how often idle connections are looked through: they may live that much longer than idleTimeout.
const sweepEvery = time.Second

// Key names a pool: pools never serve two pods, two policies or two destinations.
type Key struct {
	Pod         string // UID
	Binding     string // policy.Binding.Key
	Destination string
	Way         Way
}

// Way is how calls get to a destination. Those that get there in different ways have nothing in common.
type Way struct {
	// Intercepted: the pod speaks TLS, and so does the agent.
	Intercepted bool
	// Originated: the pod speaks in the clear, and the agent TLS.
	Originated bool
	Port       uint16 // of the host; 0: the one that the pod calls
}

// Secured reports whether the agent speaks TLS to the host.
func (w Way) Secured() bool { return w.Intercepted || w.Originated }

// Pools holds all pools of an agent and keeps them tidy. What concerns one pod does not walk over the pools of others.
type Pools struct {
	mu    sync.Mutex
	pools map[string]map[Key]*Pool // by pod
}

// NewPools returns no pools yet.
func NewPools() *Pools { return &Pools{pools: map[string]map[Key]*Pool{}} }

// Put adds the pool of a key that has none.
func (ps *Pools) Put(k Key, p *Pool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.pools[k.Pod] == nil {
		ps.pools[k.Pod] = map[Key]*Pool{}
	}
	ps.pools[k.Pod][k] = p
}

// Remove forgets a pool, which the caller closes, and returns it; nil if there is none.
func (ps *Pools) Remove(k Key) *Pool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.pools[k.Pod][k]
	delete(ps.pools[k.Pod], k)
	if len(ps.pools[k.Pod]) == 0 {
		delete(ps.pools, k.Pod)
	}
	return p
}

// CloseIdle closes the idle connections of a pod's pools.
func (ps *Pools) CloseIdle(pod string) {
	ps.mu.Lock()
	pools := make([]*Pool, 0, len(ps.pools[pod]))
	for _, p := range ps.pools[pod] {
		pools = append(pools, p)
	}
	ps.mu.Unlock()
	for _, p := range pools {
		p.CloseIdle()
	}
}

// Each calls f with every pool's gauges.
func (ps *Pools) Each(f func(Key, Stats)) {
	for _, e := range ps.all() {
		f(e.key, e.pool.Stats())
	}
}

// entry is a pool with its key.
type entry struct {
	key  Key
	pool *Pool
}

func (ps *Pools) all() []entry {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var all []entry
	for _, pools := range ps.pools {
		for k, p := range pools {
			all = append(all, entry{k, p})
		}
	}
	return all
}

// Run sweeps the pools until ctx ends, then closes them.
func (ps *Pools) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, e := range ps.all() {
				e.pool.Close()
			}
			return nil
		case now := <-tick.C:
			for _, e := range ps.all() {
				e.pool.sweep(now)
			}
		}
	}
}
