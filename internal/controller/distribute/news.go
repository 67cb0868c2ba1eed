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

func (n *news) add(name string) { n.addAll(map[string]*use{name: nil}) }

func (n *news) addAll(names map[string]*use) {
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
	s.expire(now)
	open := s.gate.openFor(now)
	settled := open >= s.opts.StartGrace && !s.settled
	s.settled = open >= s.opts.StartGrace
	if !settled && open > 0 {
		return
	}
	for _, n := range s.nodes {
		if settled && !n.heard {
			s.news.addAll(n.profiles)
		}
		if open == 0 {
			n.heard = false
		}
	}
}

// departure is that the last agent of a node left.
type departure struct {
	node *node
	at   time.Time
}

// expire no longer believes agents that have stayed away for too long.
func (s *Store) expire(now time.Time) {
	for len(s.departures) > 0 {
		d := s.departures[0]
		if now.Sub(d.at) < s.opts.Grace {
			return
		}
		s.departures[0] = departure{}
		s.departures = s.departures[1:]
		if n := d.node; n.last != nil && n.lostAt.Equal(d.at) { // else it has come back, and perhaps left again
			n.last = nil
			s.news.addAll(n.profiles)
			s.review(n)
			s.tidyNode(n)
		}
	}
}
