package resilience

// line is where calls wait for a limit that pods share: those of one pod in the order in which they came, the pods in turn. That is
// deficit round robin (Shreedhar and Varghese, 1995) in which every call costs one quantum, so that no deficit is ever left. It is
// guarded by the lock of its limit.
type line struct {
	turn *podQueue // whose turn it is: the front of a ring; nil: nobody waits
	n    int       // waiters
}

// podQueue is one pod's part of a line.
type podQueue struct {
	first, last *Waiter
	n           int
	next, prev  *podQueue // in the ring; nil: nobody of the pod waits
}

// push has a waiter wait behind those of its pod. A pod that has none yet comes behind the others.
func (l *line) push(q *podQueue, w *Waiter) {
	w.queue, w.prev, w.next = q, q.last, nil
	if q.last == nil {
		q.first = w
		l.join(q)
	} else {
		q.last.next = w
	}
	q.last = w
	q.n++
	l.n++
}

// front is who is served next, or nil.
func (l *line) front() *Waiter {
	if l.turn == nil {
		return nil
	}
	return l.turn.first
}

// position is how many are served before a waiter, if all come in their turn.
func (l *line) position(w *Waiter) int {
	own, i := w.queue, 0
	if w == own.last {
		i = own.n - 1
	} else {
		for v := own.first; v != w; v = v.next {
			i++
		}
	}
	p, rounds := i, i+1 // that those in front of the own pod have before it is served
	for q := l.turn; ; {
		if q == own {
			rounds = i
		} else {
			p += min(q.n, rounds)
		}
		if q = q.next; q == l.turn {
			return p
		}
	}
}

// served takes a waiter out whose wait is over: its pod has had its turn.
func (l *line) served(w *Waiter) {
	q := w.queue
	if l.remove(w); q.n == 0 {
		return
	}
	if q == l.turn {
		l.turn = q.next
		return
	}
	l.unlink(q)
	l.join(q)
}

// remove takes a waiter out that gives up, or that has been served.
func (l *line) remove(w *Waiter) {
	q := w.queue
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queue, w.next, w.prev = nil, nil, nil
	q.n--
	l.n--
	if q.n == 0 {
		l.unlink(q)
	}
}

// longest is the pod with the most waiters; nil: nobody waits.
func (l *line) longest() *podQueue {
	most := l.turn
	if most == nil {
		return nil
	}
	for q := most.next; q != l.turn; q = q.next {
		if q.n > most.n {
			most = q
		}
	}
	return most
}

// join puts a pod at the end of the ring.
func (l *line) join(q *podQueue) {
	if l.turn == nil {
		l.turn, q.next, q.prev = q, q, q
		return
	}
	last := l.turn.prev
	q.prev, q.next = last, l.turn
	last.next, l.turn.prev = q, q
}

func (l *line) unlink(q *podQueue) {
	if q.next == q {
		l.turn = nil
	} else {
		q.prev.next, q.next.prev = q.next, q.prev
		if l.turn == q {
			l.turn = q.next
		}
	}
	q.next, q.prev = nil, nil
}
