package controller

import (
	"cmp"
	"container/heap"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// writeSchedule shares out the writes of statuses. There are two budgets: a generous one for conditions, which people and tools wait for, and
// a small one for all else. A condition is written at once while its budget lasts. What may not be written yet is scheduled: the policy is
// reconciled again when it may be, and not before. The one whose last write is the oldest comes first, so that with n policies to write each
// has its turn once in n/perSecond seconds, and one whose conditions change all the time holds up no other. Counts of the cluster and figures
// of traffic wait in queues of their own and take turns, for there may be thousands of the latter.
type writeSchedule struct {
	// immutable
	wake chan struct{} // size 1: something is due earlier than it was

	mu sync.Mutex
	// guarded by mu
	scheduled map[policy.ID]*scheduledWrite
	queues    [writeKinds]writeHeap
	last      writeKind      // of the turn given last that was not for conditions
	sequence  uint64         // of entries
	budgets   [2]writeBudget // for conditions, and for the others
}

// writeKind says what a policy waits to have written, the most urgent first.
type writeKind uint8

const (
	kindConditions writeKind = iota // a condition has changed
	kindCounts                      // figures of the cluster have changed
	kindFigures                     // there may be new figures of its traffic
	writeKinds
)

// scheduledWrite is a policy's entry in a queue. It is in none once its turn was given: the policy is enqueued or being reconciled then.
type scheduledWrite struct {
	id       policy.ID
	kind     writeKind
	due      time.Time
	sequence uint64
	position int // in its queue; -1: its turn was given
}

func newWriteSchedule(conditions, others writeBudget) *writeSchedule {
	return &writeSchedule{
		wake: make(chan struct{}, 1), scheduled: map[policy.ID]*scheduledWrite{}, last: kindCounts,
		budgets: [2]writeBudget{conditions, others},
	}
}

// defaultWriteSchedule returns a schedule with the budgets that are meant for a cluster.
func defaultWriteSchedule() *writeSchedule {
	return newWriteSchedule(newWriteBudget(conditionsPerSecond, conditionBurst), newWriteBudget(figuresPerSecond, figureBurst))
}

// budget returns the budget that writes of a kind are taken from.
func (s *writeSchedule) budget(kind writeKind) *writeBudget {
	if kind == kindConditions {
		return &s.budgets[0]
	}
	return &s.budgets[1]
}

// spendAtOnce takes a write of conditions without waiting, or reports that the policy has to be scheduled.
func (s *writeSchedule) spendAtOnce(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.budget(kindConditions)
	b.refill(now)
	return len(s.queues[kindConditions]) == 0 && b.spend()
}

// schedule has a policy wait for its turn, which comes at due or later. It waits for one thing at a time, the most urgent.
func (s *writeSchedule) schedule(id policy.ID, kind writeKind, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.scheduled[id]
	switch {
	case w == nil:
		w = &scheduledWrite{id: id, position: -1}
		s.scheduled[id] = w
	case w.position >= 0 && w.kind < kind:
		return
	case w.position >= 0:
		heap.Remove(&s.queues[w.kind], w.position)
	default: // it has just been reconciled for another reason, and does not need the turn that it was given
		s.budget(w.kind).giveBack()
		s.wakeRunner()
	}
	if w.kind != kind || w.sequence == 0 {
		s.sequence++
		w.sequence = s.sequence
	}
	w.kind, w.due = kind, due
	heap.Push(&s.queues[kind], w)
	if w.position == 0 {
		s.wakeRunner()
	}
}

// claim reports whether it is the policy's turn, which is over with that, and for what kind of write.
func (s *writeSchedule) claim(id policy.ID) (writeKind, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.scheduled[id]
	if w == nil || w.position >= 0 {
		return 0, false
	}
	delete(s.scheduled, id)
	return w.kind, true
}

// refund gives back a write of a kind, because there was nothing to write.
func (s *writeSchedule) refund(kind writeKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget(kind).giveBack()
	s.wakeRunner()
}

// forget drops a policy that is no more.
func (s *writeSchedule) forget(id policy.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.scheduled[id]; w != nil && w.position >= 0 {
		heap.Remove(&s.queues[w.kind], w.position)
	}
	delete(s.scheduled, id)
}

// size is how many policies wait for a turn or have it.
func (s *writeSchedule) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.scheduled)
}

func (s *writeSchedule) wakeRunner() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// never is how long to wait where nothing is due: until something wakes.
const never = time.Duration(1<<63 - 1)

// next gives a turn to the policy that has waited the longest, or returns how long there will be none to give. Conditions come first.
func (s *writeSchedule) next(now time.Time) (id policy.ID, wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait = never
	for i := range writeKinds {
		kind := kindConditions
		if i > 0 {
			kind = kindCounts + (s.last-kindCounts+i)%(writeKinds-kindCounts) // the one after the last
		}
		q, b := &s.queues[kind], s.budget(kind)
		b.refill(now)
		if len(*q) == 0 {
			continue
		}
		if until := (*q)[0].due.Sub(now); until > 0 {
			wait = min(wait, until)
			continue
		}
		if !b.spend() {
			wait = min(wait, b.wait())
			continue
		}
		if kind != kindConditions {
			s.last = kind
		}
		return heap.Pop(q).(*scheduledWrite).id, 0, true
	}
	return policy.ID{}, wait, false
}

// writeHeap is a heap of entries, the one that is due first in front.
type writeHeap []*scheduledWrite

func (q writeHeap) Len() int { return len(q) }
func (q writeHeap) Less(i, j int) bool {
	return cmp.Or(q[i].due.Compare(q[j].due), cmp.Compare(q[i].sequence, q[j].sequence)) < 0
}
func (q writeHeap) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].position, q[j].position = i, j
}

// Push implements heap.Interface.
func (q *writeHeap) Push(x any) {
	w := x.(*scheduledWrite)
	w.position = len(*q)
	*q = append(*q, w)
}

// Pop implements heap.Interface.
func (q *writeHeap) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.position = -1
	return w
}
