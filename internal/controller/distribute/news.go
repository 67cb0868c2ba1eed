package distribute

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// news collects the names of profiles whose rollout changed until somebody takes them.
type news struct {
	wake chan struct{} // size 1

	mu sync.Mutex
	// guarded by mu
	names map[string]struct{}
}

func newNews() *news { return &news{wake: make(chan struct{}, 1), names: map[string]struct{}{}} }

func (n *news) add(name string) { n.addAll(map[string]int{name: 1}) }

func (n *news) addAll(names map[string]int) {
	n.mu.Lock()
	for name := range names {
		n.names[name] = struct{}{}
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *news) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := slices.Sorted(maps.Keys(n.names))
	clear(n.names)
	return out
}

// run tells StoreOptions.Notify the news until ctx ends.
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
		case <-s.news.wake:
		}
		if names := s.news.take(); len(names) > 0 {
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

// sweep announces what changes by mere passing of time: agents that stay away, and the end of the start's leniency.
func (s *Store) sweep(now time.Time) {
	s.traffic.sweep(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.gate.openFor(now)
	settled := open >= s.opts.StartGrace && !s.settled
	s.settled = open >= s.opts.StartGrace
	for _, n := range s.nodes {
		lost := n.last != nil && now.Sub(n.lostAt) >= s.opts.Grace
		if lost {
			n.last = nil
		}
		if lost || settled && !n.heard {
			s.news.addAll(n.profiles)
		}
		if open == 0 {
			n.heard = false
		}
		s.tidyNode(n)
	}
}
