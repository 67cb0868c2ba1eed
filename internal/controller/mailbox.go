package controller

import (
	"context"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"fairlead.dev/fairlead/internal/policy"
)

// mailbox is how the desk and the agents tell the clerk which statuses to look at. It keeps what comes before the clerk begins.
type mailbox struct {
	mu sync.Mutex
	// guarded by mu
	queue   workqueue.TypedRateLimitingInterface[policy.ID]
	waiting []policy.ID
}

var _ source.TypedSource[policy.ID] = (*mailbox)(nil)

// Start hands over the queue of the clerk.
func (m *mailbox) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[policy.ID]) error {
	m.mu.Lock()
	waiting := m.waiting
	m.queue, m.waiting = queue, nil
	m.mu.Unlock()
	m.add(waiting)
	return nil
}

func (m *mailbox) add(ids []policy.ID) {
	m.mu.Lock()
	queue := m.queue
	if queue == nil {
		m.waiting = append(m.waiting, ids...)
	}
	m.mu.Unlock()
	if queue == nil {
		return
	}
	for _, id := range ids {
		queue.Add(id)
	}
}
