package upstream

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Answer is what a pool says to a request.
type Answer uint8

const (
	// Ready: the lease is the request's, which is done with.
	Ready Answer = iota
	// Dial: the request is granted, and redeemed with a new connection by Pool.Dial, or given up with Cancel.
	Dial
	// Parked: wait for Request.Wake, then Redeem the request, or give up with CancelParked or Cancel.
	Parked
	// Overflow: as many requests are parked as may be.
	Overflow
	// Joined: the request waits for a connection to its Host that is being made for another one. Otherwise like Parked.
	Joined
	// Failed: the connection that the request waited for could not be made, as Request.Err says. The request is done with.
	Failed
)

// Acquire asks for a connection. Without limits the answer is Ready or Dial.
func (p *Pool) Acquire(now time.Time, r *Request) (Answer, Lease) {
	if a := p.enter(now, r); a != Ready {
		return a, Lease{}
	}
	return p.Redeem(now, r)
}

// enter has a request granted (Ready), parked, or refused.
func (p *Pool) enter(now time.Time, r *Request) Answer {
	p.mu.Lock()
	closing := p.sync()
	if p.waiting.len > 0 && (p.changed || p.outageOver(now)) {
		// Time alone may have made a place: a host that could not be reached is tried again after a while.
		closing = p.grantParked(now, nil, closing)
	}
	if !p.comesBehind(r) {
		ok, evicted := p.grant(now, r)
		if evicted != nil {
			closing = append(closing, evicted)
		}
		if ok {
			r.host = r.to.host
			answer := Ready
			if r.state == joined {
				answer = Joined
			}
			p.mu.Unlock()
			closeAll(closing)
			return answer
		}
	}
	answer := Overflow
	if p.waiting.len < p.limits.MaxPending {
		closing = p.park(now, r, closing)
		answer = Parked
	}
	p.mu.Unlock()
	closeAll(closing)
	return answer
}

// Redeem is called for a request that was woken. It returns Ready with an idle connection that is fit for it, or Dial when a new one has
// to be made, for which the request keeps its place.
//
// A connection is looked at before it is used, which costs a system call: one that the server has closed cannot serve, and
// bytes that came unasked are nobody's answer. RFC 9112 section 9.2: a client that receives data on a connection without
// outstanding requests "MUST NOT consider that data to be a valid response".
func (p *Pool) Redeem(now time.Time, r *Request) (Answer, Lease) {
	r.host = r.to.host
	if r.err != nil {
		return p.failed(r)
	}
	for r.conn != nil {
		c := r.conn
		switch {
		case r.unchecked:
			return Ready, r.lease()
		case c.overdue(now) || c.Peek() != transport.Quiet:
			p.discard(now, r)
		case r.Careful && !c.proven(now, r.Client):
			p.preferProven(now, r)
		default:
			return Ready, r.lease()
		}
	}
	return Dial, Lease{}
}

// lease redeems a request with its connection.
func (r *Request) lease() Lease {
	c := r.conn
	r.state, r.conn = unused, nil
	if !r.unchecked {
		c.client = r.Client
	}
	return Lease{Conn: c, nth: r.nth, pinned: r.Pinned}
}

// discard closes a request's connection and replaces it by another idle one. Each holds a place of its own; the first one's is
// freed, or kept for a new connection when there is no other.
func (p *Pool) discard(now time.Time, r *Request) {
	dead := r.conn
	var closing []*Conn
	p.mu.Lock()
	if r.conn = p.pop(r.to, r.Multiplexed); r.conn != nil {
		p.leaseIdle(r)
		p.open--
		r.to.open--
		closing = p.grantParked(now, r.to, nil)
	}
	p.mu.Unlock()
	_ = dead.Close()
	closeAll(closing)
}

// preferProven puts a request's connection back and replaces it by one that the same client used last, or has a new one made. It
// stays for requests that may be sent again, if there is room for one more.
func (p *Pool) preferProven(now time.Time, r *Request) {
	hc, c := r.to, r.conn
	var closing []*Conn
	p.mu.Lock()
	r.conn = p.pullOf(hc, r.Client)
	switch {
	case p.closed, hc.host.departed.Load(), len(hc.idle) >= p.limits.MaxIdlePerEndpoint:
		closing = append(closing, c)
		if r.conn != nil {
			p.open--
			hc.open--
		}
	case r.conn == nil && p.full(hc):
		closing = append(closing, c)
	default:
		c.uses--
		c.inUse--
		p.push(c)
		if r.conn == nil {
			p.open++
			hc.open++
		}
	}
	if r.conn != nil {
		p.leaseIdle(r)
	}
	closing = p.grantParked(now, hc, closing)
	p.mu.Unlock()
	closeAll(closing)
}

// CancelParked gives up a parked request, unless it has been granted in the meantime: then it reports true, and the request still has
// to be redeemed, or given back with Cancel.
func (p *Pool) CancelParked(r *Request) (wasGranted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.state == granted {
		return true
	}
	switch r.state {
	case parked:
		p.unpark(r)
	case joined:
		r.pending.leave(r)
	case unused, granted:
	}
	r.state = unused
	return false
}

// Cancel gives up a request, parked or granted. It reports whether it had been granted.
func (p *Pool) Cancel(now time.Time, r *Request) (wasGranted bool) {
	p.mu.Lock()
	state, c := r.state, r.conn
	r.state, r.conn = unused, nil
	r.dropPermit()
	err, dialling := r.err, r.pending
	r.err, r.pending = nil, nil
	switch state {
	case parked:
		p.unpark(r)
	case joined:
		dialling.leave(r)
	case granted:
		if dialling != nil {
			p.finishDial(dialling)
		}
	case unused:
	}
	p.mu.Unlock()
	switch {
	case state != granted || err != nil:
	case c != nil:
		p.putBack(now, c)
	default:
		p.vacate(now, r.to)
	}
	return state == granted
}
