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
func (p *Pool) enter(now time.Time, r *Request) (answer Answer) {
	p.change(func() (closing []*Conn) {
		answer, closing = p.admit(now, r)
		return closing
	})
	return answer
}

// admit is enter with the lock.
func (p *Pool) admit(now time.Time, r *Request) (answer Answer, closing []*Conn) {
	closing = p.sync()
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
			if r.state == joined {
				return Joined, closing
			}
			return Ready, closing
		}
	}
	if p.waiting.len < p.limits.MaxPending {
		return Parked, p.park(now, r, closing)
	}
	return Overflow, closing
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
	p.change(func() []*Conn {
		if r.conn = p.pop(r.to, r.Multiplexed); r.conn == nil {
			return nil
		}
		p.leaseIdle(r)
		p.open--
		r.to.open--
		return p.grantParked(now, r.to, nil)
	})
	_ = dead.Close()
}

// preferProven puts a request's connection back and replaces it by one that the same client used last, or has a new one made. It
// stays for requests that may be sent again, if there is room for one more.
func (p *Pool) preferProven(now time.Time, r *Request) {
	p.change(func() []*Conn { return p.takeProven(now, r) })
}

// takeProven is preferProven with the lock.
func (p *Pool) takeProven(now time.Time, r *Request) (closing []*Conn) {
	hc, c := r.to, r.conn
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
	return p.grantParked(now, hc, closing)
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
	was := p.giveUp(r)
	switch {
	case was.state != granted || was.err != nil:
	case was.conn != nil:
		p.putBack(now, was.conn)
	default:
		p.vacate(now, r.to)
	}
	return was.state == granted
}

// holding is what a request had that was given up.
type holding struct {
	state requestState
	conn  *Conn
	err   error
}

// giveUp has a request be one that was never made, and returns what it had.
func (p *Pool) giveUp(r *Request) holding {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, dialling := holding{r.state, r.conn, r.err}, r.pending
	r.state, r.conn, r.err, r.pending = unused, nil, nil, nil
	r.dropPermit()
	switch was.state {
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
	return was
}
