package controller

import (
	"context"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"fairlead.dev/fairlead/internal/policy"
)

// keyQueue names what a reconciler is to look at besides what it watches. It keeps what is added before the reconciler starts.
type keyQueue[K comparable] struct {
	mu sync.Mutex
	// guarded by mu
	queue   workqueue.TypedRateLimitingInterface[K] // nil before Start
	waiting []K
}

var _ source.TypedSource[policy.ID] = (*keyQueue[policy.ID])(nil)

// Start implements source.TypedSource: queue is the reconciler's.
func (q *keyQueue[K]) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[K]) error {
	q.mu.Lock()
	waiting := q.waiting
	q.queue, q.waiting = queue, nil
	q.mu.Unlock()
	q.add(waiting)
	return nil
}

func (q *keyQueue[K]) add(keys []K) {
	q.mu.Lock()
	queue := q.queue
	if queue == nil {
		q.waiting = append(q.waiting, keys...)
	}
	q.mu.Unlock()
	if queue == nil {
		return
	}
	for _, key := range keys {
		queue.Add(key)
	}
}
