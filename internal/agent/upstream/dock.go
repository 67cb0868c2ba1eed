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
}

// Dock holds all pools of an agent and keeps them tidy. What concerns one pod does not walk over the pools of others.
type Dock struct {
	mu    sync.Mutex
	pools map[string]map[Key]*Pool // by pod
}

// NewDock returns a dock without pools.
func NewDock() *Dock { return &Dock{pools: map[string]map[Key]*Pool{}} }

// Pool returns the pool of a key, and makes it first if there is none.
func (d *Dock) Pool(k Key, o Options) (*Pool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.pools[k.Pod][k]; p != nil {
		return p, nil
	}
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	if d.pools[k.Pod] == nil {
		d.pools[k.Pod] = map[Key]*Pool{}
	}
	d.pools[k.Pod][k] = p
	return p, nil
}

// Remove forgets a pool, which the caller closes, and returns it; nil if there is none.
func (d *Dock) Remove(k Key) *Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pools[k.Pod][k]
	d.delete(k)
	return p
}

func (d *Dock) delete(k Key) {
	delete(d.pools[k.Pod], k)
	if len(d.pools[k.Pod]) == 0 {
		delete(d.pools, k.Pod)
	}
}

// CloseIdle closes the idle connections of a pod's pools.
func (d *Dock) CloseIdle(pod string) {
	d.mu.Lock()
	pools := make([]*Pool, 0, len(d.pools[pod]))
	for _, p := range d.pools[pod] {
		pools = append(pools, p)
	}
	d.mu.Unlock()
	for _, p := range pools {
		p.CloseIdle()
	}
}

// Range calls f with every pool; those f does not want to keep are closed and forgotten.
func (d *Dock) Range(f func(Key, *Pool) (keep bool)) {
	for _, e := range d.all() {
		if f(e.key, e.pool) {
			continue
		}
		d.mu.Lock()
		if d.pools[e.key.Pod][e.key] == e.pool {
			d.delete(e.key)
		}
		d.mu.Unlock()
		e.pool.Close()
	}
}

// Each calls f with every pool's gauges.
func (d *Dock) Each(f func(Key, Stats)) {
	for _, e := range d.all() {
		f(e.key, e.pool.Stats())
	}
}

// entry is a pool with its key.
type entry struct {
	key  Key
	pool *Pool
}

func (d *Dock) all() []entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []entry
	for _, pools := range d.pools {
		for k, p := range pools {
			all = append(all, entry{k, p})
		}
	}
	return all
}

// Run sweeps the pools until ctx ends, then closes them.
func (d *Dock) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.Range(func(Key, *Pool) bool { return false })
			return nil
		case now := <-tick.C:
			for _, e := range d.all() {
				e.pool.sweep(now)
			}
		}
	}
}
