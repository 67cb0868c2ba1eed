package controller

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"fairlead.dev/fairlead/internal/policy"
)

// turns shares out the writes of statuses that nobody waits for: a policy is looked at when it may be written, and not before. The one
// whose last write is the oldest comes first, so that with n policies to write each has its turn once in n/perSecond seconds. Counts of
// the cluster and figures of traffic wait in queues of their own and take turns, for there may be thousands of the latter.
//
// What somebody waits for, a condition, needs no turn.
type turns struct {
	// immutable
	perSecond, burst float64
	wake             chan struct{} // size 1: something is due earlier than it was

	mu sync.Mutex
	// guarded by mu
	all      map[policy.ID]*turn
	queues   [turnKinds]turnQueue
	last     turnKind // of the turn given last
	credit   float64  // of writes
	creditAt time.Time
}

// turnKind says what a policy waits to have written.
type turnKind uint8

const (
	turnCounts  turnKind = iota // figures of the cluster have changed
	turnFigures                 // its traffic is to be looked at
	turnKinds
)

// turn is a policy's place in a queue. It is in none once it was given: the policy is being looked at then.
type turn struct {
	id    policy.ID
	kind  turnKind
	due   time.Time
	place int // in its queue; -1: given
}

func newTurns(perSecond, burst float64) *turns {
	return &turns{perSecond: perSecond, burst: burst, credit: burst, wake: make(chan struct{}, 1), all: map[policy.ID]*turn{}}
}

// want has a policy wait for its turn, which comes at due or later. It waits for one thing at a time, and counts are the more urgent.
func (t *turns) want(id policy.ID, kind turnKind, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.all[id]
	switch {
	case w == nil:
		w = &turn{id: id, place: -1}
		t.all[id] = w
	case w.place >= 0 && w.kind == turnCounts && kind == turnFigures:
		return
	case w.place >= 0:
		heap.Remove(&t.queues[w.kind], w.place)
	default: // it has just been looked at for another reason, and does not need the turn that it was given
		t.credit = min(t.credit+1, t.burst)
		t.rouse()
	}
	w.kind, w.due = kind, due
	heap.Push(&t.queues[kind], w)
	if w.place == 0 {
		t.rouse()
	}
}

// take reports whether it is the policy's turn, which is over with that.
func (t *turns) take(id policy.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.all[id]
	if w == nil || w.place >= 0 {
		return false
	}
	delete(t.all, id)
	return true
}

// refund gives back a turn in which there was nothing to write.
func (t *turns) refund() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.credit = min(t.credit+1, t.burst)
	t.rouse()
}

// forget drops a policy that is no more.
func (t *turns) forget(id policy.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.all[id]; w != nil && w.place >= 0 {
		heap.Remove(&t.queues[w.kind], w.place)
	}
	delete(t.all, id)
}

// size is how many policies wait for a turn or have it.
func (t *turns) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

func (t *turns) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// never is how long to wait where nothing is due: until something wakes.
const never = time.Duration(1<<63 - 1)

// next gives a turn to the policy that has waited the longest, or says how long there will be none to give.
func (t *turns) next(now time.Time) (id policy.ID, wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.creditAt.Before(now) {
		if !t.creditAt.IsZero() {
			t.credit = min(t.credit+now.Sub(t.creditAt).Seconds()*t.perSecond, t.burst)
		}
		t.creditAt = now
	}
	first, wait := t.first(now)
	if first == nil {
		return policy.ID{}, wait, false
	}
	if t.credit < 1 {
		return policy.ID{}, time.Duration((1-t.credit)/t.perSecond*float64(time.Second)) + 1, false
	}
	t.credit--
	t.last = first.kind
	heap.Pop(&t.queues[first.kind])
	return first.id, 0, true
}

// first returns whose turn is due, or when the next one is.
func (t *turns) first(now time.Time) (*turn, time.Duration) {
	wait := never
	var due *turn
	for i := range turnKinds {
		q := t.queues[(t.last+1+i)%turnKinds]
		if len(q) == 0 {
			continue
		}
		if until := q[0].due.Sub(now); until > 0 {
			wait = min(wait, until)
		} else if due == nil {
			due = q[0]
		}
	}
	return due, wait
}

// turnQueue is a heap of turns, the one that is due first in front.
type turnQueue []*turn

func (q turnQueue) Len() int           { return len(q) }
func (q turnQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q turnQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *turnQueue) Push(x any) {
	w := x.(*turn)
	w.place = len(*q)
	*q = append(*q, w)
}

// Pop implements heap.Interface.
func (q *turnQueue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.place = -1
	return w
}

// turnGiver has the clerk look at policies whose turn it is.
type turnGiver struct {
	turns *turns
	clock clock.PassiveClock
	look  func([]policy.ID)
}

var (
	_ manager.Runnable               = (*turnGiver)(nil)
	_ manager.LeaderElectionRunnable = (*turnGiver)(nil)
)

// NeedLeaderElection keeps replicas that do not lead from writing.
func (g *turnGiver) NeedLeaderElection() bool { return true }

// Start gives turns until ctx ends.
func (g *turnGiver) Start(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-g.turns.wake:
		}
		for {
			id, wait, ok := g.turns.next(g.clock.Now())
			if !ok {
				timer.Reset(wait)
				break
			}
			g.look([]policy.ID{id})
		}
	}
}
