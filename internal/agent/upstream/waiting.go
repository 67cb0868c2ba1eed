package upstream

import (
	"hash/maphash"
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// want is what a parked request needs to be served. Requests that want the same are served, or not, alike.
type want struct {
	to     netip.AddrPort // the only address that will do, or one whose name's will; the zero value: a host of the family
	family int
	fresh  bool
	// multiplexed is Request.Multiplexed
	multiplexed bool
	endpoints   *resilience.Endpoints // Request.Endpoints
	avoid       uint64                // the sum of the hashes of Request.Avoid; in the improbable case of equal sums a request waits for another one's host
}

// waiting holds the parked requests: a queue of those that want the same, first come first served. What it costs to serve one grows
// with the number of queues, not with that of requests. The zero value is empty; it is guarded by the pool's lock.
type waiting struct {
	queues map[want]*queue
	// first and last of the queues, in the order of their first requests
	first, last *queue
	spare       *queue
	parked      uint64 // requests so far
	len         int
	looks       int // at queues so far, for tests of what that costs
	seed        maphash.Seed
}

// queue holds requests that want the same.
type queue struct {
	want
	head, tail *Request
	next, prev *queue
}

// hash returns the sum that stands for a list of addresses, in any order.
func (w *waiting) hash(avoid []netip.AddrPort) (sum uint64) {
	if len(avoid) == 0 {
		return 0
	}
	if w.seed == (maphash.Seed{}) {
		w.seed = maphash.MakeSeed()
	}
	for _, addr := range avoid {
		sum += maphash.Comparable(w.seed, addr)
	}
	return sum
}

// push adds a request behind all others.
func (w *waiting) push(r *Request, wants want) {
	w.parked++
	r.turn = w.parked
	w.insert(r, wants)
}

// insert adds a request that comes behind all that are in its queue.
func (w *waiting) insert(r *Request, wants want) {
	q := w.queues[wants]
	if q == nil {
		q = w.add(wants)
	}
	r.queue, r.prev, r.next = q, q.tail, nil
	if q.tail != nil {
		q.tail.next = r
	} else {
		q.head = r
		w.place(q, w.last)
	}
	q.tail = r
	w.len++
}

func (w *waiting) add(wants want) *queue {
	q := w.spare
	if w.spare = nil; q == nil {
		q = &queue{}
	}
	if w.queues == nil {
		w.queues = map[want]*queue{}
	}
	q.want = wants
	w.queues[wants] = q
	return q
}

// remove takes a request out.
func (w *waiting) remove(r *Request) {
	q, first := r.queue, r.prev == nil
	if first {
		q.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		q.tail = r.prev
	}
	r.queue, r.prev, r.next = nil, nil, nil
	w.len--
	if !first {
		return
	}
	after := q.prev
	w.unlink(q)
	if q.head == nil {
		delete(w.queues, q.want)
		w.spare = q
		return
	}
	for next := w.after(after); next != nil && next.head.turn < q.head.turn; next = next.next {
		after = next
	}
	w.place(q, after)
}

// after returns the queue behind another one; nil stands for the beginning.
func (w *waiting) after(q *queue) *queue {
	if q == nil {
		return w.first
	}
	return q.next
}

// place puts a queue behind another one.
func (w *waiting) place(q, behind *queue) {
	q.prev, q.next = behind, w.after(behind)
	if behind != nil {
		behind.next = q
	} else {
		w.first = q
	}
	if q.next != nil {
		q.next.prev = q
	} else {
		w.last = q
	}
}

func (w *waiting) unlink(q *queue) {
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		w.first = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	} else {
		w.last = q.prev
	}
	q.prev, q.next = nil, nil
}

// regroup sorts the requests into queues again, after what they want has changed.
func (w *waiting) regroup(wants func(*Request) want) {
	all := make([]*Request, 0, w.len)
	for w.first != nil {
		r := w.first.head
		w.remove(r)
		all = append(all, r)
	}
	for _, r := range all {
		w.insert(r, wants(r))
	}
}
