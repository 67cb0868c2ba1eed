package distribute

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// changedProfiles collects the names of profiles whose rollout changed until they are taken.
type changedProfiles struct {
	wake chan struct{} // size 1

	mu sync.Mutex
	// guarded by mu
	names map[string]struct{}
}

func newChangedProfiles() *changedProfiles {
	return &changedProfiles{wake: make(chan struct{}, 1), names: map[string]struct{}{}}
}

func (n *changedProfiles) add(name string) {
	n.mu.Lock()
	n.names[name] = struct{}{}
	n.mu.Unlock()
	n.wakeUp()
}

func (n *changedProfiles) addAll(names map[string]*profileUse) {
	n.mu.Lock()
	for name := range names {
		n.names[name] = struct{}{}
	}
	n.mu.Unlock()
	n.wakeUp()
}

func (n *changedProfiles) wakeUp() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *changedProfiles) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := slices.Sorted(maps.Keys(n.names))
	clear(n.names)
	return out
}

// run passes the changed profiles to StoreOptions.Notify until ctx ends.
func (s *Store) run(ctx context.Context) {
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			s.sweep(time.Now())
			continue
		case <-s.changed.wake:
		}
		if names := s.changed.take(); len(names) > 0 {
			s.opts.Notify(names)
		}
		pause.Reset(s.opts.NotifyInterval)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// sweep marks what changes with time alone: agents that stay away, and the end of StartGrace.
func (s *Store) sweep(now time.Time) {
	s.traffic.sweep(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	serving := s.serving.servingFor(now)
	graceEnds := serving >= s.opts.StartGrace && !s.graceOver
	s.graceOver = serving >= s.opts.StartGrace
	if !graceEnds && serving > 0 {
		return
	}
	for _, n := range s.nodes {
		if graceEnds && !n.answered {
			s.changed.addAll(n.profiles)
		}
		if serving == 0 {
			n.answered = false
		}
	}
}

// disconnection is that the last agent of a node left.
type disconnection struct {
	node *node
	at   time.Time
}

// expire discards what agents acknowledged that have stayed away for longer than Grace.
func (s *Store) expire(now time.Time) {
	for len(s.disconnections) > 0 {
		d := s.disconnections[0]
		if now.Sub(d.at) < s.opts.Grace {
			return
		}
		s.disconnections[0] = disconnection{}
		s.disconnections = s.disconnections[1:]
		if n := d.node; n.former != nil && n.lostAt.Equal(d.at) { // else it has come back, and perhaps left again
			n.former = nil
			s.changed.addAll(n.profiles)
			s.updateNode(n)
			s.tidyNode(n)
		}
	}
}
