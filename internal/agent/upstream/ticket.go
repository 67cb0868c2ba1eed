package upstream

import "net/netip"

// Request is one call's wish for a connection. Its owner reuses it from try to try and from call to call; the zero value needs
// Init. While it is queued or granted it must not be copied or changed.
type Request struct {
	// Original is where the client wanted to go. It is used when Pinned, and when the pool knows no endpoint of its family; other
	// endpoints are those of its family.
	Original netip.AddrPort
	// Pinned: only Original will do.
	Pinned bool
	// Fresh: a new connection is wanted, not one that was kept.
	Fresh bool
	// Careful: what is sent cannot be sent again, so that a connection is wanted that has just proved alive, or a new one.
	Careful bool
	// Client names the client's connection: what it used last has proved alive to it. 0 names none.
	Client uint64
	// Avoid are endpoints to leave alone as long as there are others.
	Avoid []netip.AddrPort

	ready chan struct{}

	// guarded by the pool's lock
	state      requestState
	conn       *Conn
	at         *endpoint
	next, prev *Request
}

type requestState uint8

const (
	unused requestState = iota
	queued
	granted
)

// Init prepares a ticket for its first use.
func (t *Request) Init() { t.ready = make(chan struct{}, 1) }

// Ready receives one value when a queued ticket has been granted.
func (t *Request) Ready() <-chan struct{} { return t.ready }

// Peer is the address that a granted ticket is for.
func (t *Request) Peer() netip.AddrPort { return t.at.addr }

// drainReady takes back the announcement of a grant.
func (t *Request) drainReady() {
	select {
	case <-t.ready:
	default:
	}
}

// queue is the FIFO of waiting tickets.
type queue struct {
	head, tail *Request
	len        int
}

func (q *queue) push(t *Request) {
	t.prev, t.next = q.tail, nil
	if q.tail != nil {
		q.tail.next = t
	} else {
		q.head = t
	}
	q.tail = t
	q.len++
}

func (q *queue) remove(t *Request) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		q.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		q.tail = t.prev
	}
	t.prev, t.next = nil, nil
	q.len--
}
