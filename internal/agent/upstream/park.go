package upstream

import "time"

// park has a request wait. All functions of this file but retryParked expect the lock.
func (p *Pool) park(now time.Time, r *Request, closing []*Conn) []*Conn {
	r.state = parked
	p.waiting.push(r)
	if p.waiting.len == 1 && p.cluster.setWaiting(p, true) != p.set {
		closing = p.grantParked(now, closing)
	}
	return closing
}

func (p *Pool) unpark(r *Request) {
	p.waiting.remove(r)
	if p.waiting.len == 0 {
		p.cluster.setWaiting(p, false)
	}
}

// grantParked serves those that are parked, first come first served. A request that needs a host at its limit does not hold up
// those behind it that do not.
func (p *Pool) grantParked(now time.Time, closing []*Conn) []*Conn {
	if p.waiting.head == nil {
		return closing
	}
	closing = append(closing, p.sync()...)
	for r := p.waiting.head; r != nil && p.hasRoom(); {
		next := r.next
		if ok, evicted := p.grant(now, r); ok {
			p.unpark(r)
			if r.state == granted { // else it waits on, for a connection that is being made
				r.Wake()
			}
			if evicted != nil {
				closing = append(closing, evicted)
			}
		}
		r = next
	}
	return closing
}

// retryParked serves those that are parked after the cluster has changed.
func (p *Pool) retryParked() {
	now := time.Now()
	p.mu.Lock()
	closing := p.grantParked(now, nil)
	p.mu.Unlock()
	closeAll(closing)
}
