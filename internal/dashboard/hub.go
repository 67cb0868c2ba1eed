package dashboard

import (
	"maps"
	"sync"

	"fairlead.dev/fairlead/internal/dashboard/model"
)

// hub numbers the versions of topics, and wakes those who wait for new ones.
type hub struct {
	mu sync.Mutex
	// guarded by mu
	versions model.Versions
	waiting  map[*subscriber]struct{}
}

// subscriber is somebody who waits. What changes while it does not look is one change.
type subscriber struct {
	wake chan struct{} // size 1

	changed map[model.Topic]struct{} // guarded by hub.mu
}

func newHub() *hub {
	h := &hub{versions: model.Versions{}, waiting: map[*subscriber]struct{}{}}
	for _, t := range []model.Topic{model.TopicTraffic, model.TopicPolicies, model.TopicNodes, model.TopicChanges, model.TopicProblems} {
		h.versions[t] = 1
	}
	return h
}

// changed says that topics have changed.
func (h *hub) changed(topics ...model.Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		h.versions[t]++
	}
	for s := range h.waiting {
		for _, t := range topics {
			s.changed[t] = struct{}{}
		}
		select {
		case s.wake <- struct{}{}:
		default: // it is still to look
		}
	}
}

// join adds a subscriber, and returns how things stand.
func (h *hub) join() (*subscriber, model.Versions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &subscriber{wake: make(chan struct{}, 1), changed: map[model.Topic]struct{}{}}
	h.waiting[s] = struct{}{}
	return s, maps.Clone(h.versions)
}

// leave removes it.
func (h *hub) leave(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, s)
}

// take returns what has changed since it was last called.
func (h *hub) take(s *subscriber) model.Versions {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := model.Versions{}
	for t := range s.changed {
		out[t] = h.versions[t]
	}
	clear(s.changed)
	return out
}
