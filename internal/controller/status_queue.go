package controller

import (
	"context"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"fairlead.dev/fairlead/internal/policy"
)

// statusQueue names the policies to reconcile. It keeps those that are added before the status reconciler starts.
type statusQueue struct {
	mu sync.Mutex
	// guarded by mu
	queue   workqueue.TypedRateLimitingInterface[policy.ID] // nil before Start
	waiting []policy.ID
}

var _ source.TypedSource[policy.ID] = (*statusQueue)(nil)

// Start implements source.TypedSource: queue is the reconciler's.
func (q *statusQueue) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[policy.ID]) error {
	q.mu.Lock()
	waiting := q.waiting
	q.queue, q.waiting = queue, nil
	q.mu.Unlock()
	q.add(waiting)
	return nil
}

func (q *statusQueue) add(ids []policy.ID) {
	q.mu.Lock()
	queue := q.queue
	if queue == nil {
		q.waiting = append(q.waiting, ids...)
	}
	q.mu.Unlock()
	if queue == nil {
		return
	}
	for _, id := range ids {
		queue.Add(id)
	}
}
