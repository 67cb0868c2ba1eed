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

// Dock holds all pools of an agent and keeps them tidy.
type Dock struct {
	mu    sync.Mutex
	pools map[Key]*Pool
}

// NewDock returns a dock without pools.
func NewDock() *Dock { return &Dock{pools: map[Key]*Pool{}} }

// Pool returns the pool of a key, and makes it first if there is none.
func (d *Dock) Pool(k Key, o Options) (*Pool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.pools[k]; p != nil {
		return p, nil
	}
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	d.pools[k] = p
	return p, nil
}

// Range calls f with every pool; those f does not want to keep are closed and forgotten.
func (d *Dock) Range(f func(Key, *Pool) (keep bool)) {
	for k, p := range d.all() {
		if f(k, p) {
			continue
		}
		d.mu.Lock()
		if d.pools[k] == p {
			delete(d.pools, k)
		}
		d.mu.Unlock()
		p.Close()
	}
}

// Each calls f with every pool's gauges.
func (d *Dock) Each(f func(Key, Stats)) {
	for k, p := range d.all() {
		f(k, p.Stats())
	}
}

func (d *Dock) all() map[Key]*Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[Key]*Pool, len(d.pools))
	for k, p := range d.pools {
		all[k] = p
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
			for _, p := range d.all() {
				p.sweep(now)
			}
		}
	}
}
