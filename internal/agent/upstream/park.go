package upstream

import (
	"slices"
	"time"
)

// park has a request wait. All functions of this file but retryParked expect the lock.
func (p *Pool) park(now time.Time, r *Request, closing []*Conn) []*Conn {
	r.state = parked
	p.waiting.push(r, p.wantOf(r))
	p.exhausted = p.exhausted || !p.canDial()
	if p.waiting.len == 1 && p.cluster.setWaiting(p, true) != p.set {
		closing = p.grantParked(now, nil, closing)
	}
	return closing
}

// parkAgain is park for a request that had a place.
func (p *Pool) parkAgain(r *Request) {
	r.state = parked
	p.waiting.push(r, p.wantOf(r))
	p.exhausted = p.exhausted || !p.canDial()
	if p.waiting.len == 1 && p.cluster.setWaiting(p, true) != p.set {
		p.changed = true
	}
}

func (p *Pool) unpark(r *Request) {
	p.waiting.remove(r)
	if p.waiting.len == 0 {
		p.cluster.setWaiting(p, false)
	}
}

// wantOf returns what a request needs, which holds until the cluster's hosts change.
func (p *Pool) wantOf(r *Request) want {
	f := p.family(r)
	switch {
	case p.byName:
		return want{fresh: r.Fresh, multiplexed: r.Multiplexed, endpoints: r.Endpoints, avoid: p.waiting.hash(r.Avoid)}
	case r.Pinned && p.set.name != nil:
		return want{to: r.Original, family: f, fresh: r.Fresh, multiplexed: r.Multiplexed, endpoints: r.Endpoints, avoid: p.waiting.hash(r.Avoid)}
	case p.wantsOriginal(r, f):
		return want{to: r.Original, family: f, fresh: r.freshAtOriginal(), multiplexed: r.Multiplexed}
	}
	return want{family: f, fresh: r.Fresh, multiplexed: r.Multiplexed, endpoints: r.Endpoints, avoid: p.waiting.hash(r.Avoid)}
}

// comesBehind reports whether requests are parked that want the same: they could not be served, and come first.
func (p *Pool) comesBehind(r *Request) bool {
	return p.waiting.len > 0 && p.waiting.queues[p.wantOf(r)] != nil
}

// grantParked serves those that are parked, first come first served. A request that needs a host at its limit does not hold up
// those behind it that do not; one that wants the same as such a request is not looked at.
//
// It is called after whatever may have opened a host to them. freed is that host, and nil stands for any number of hosts. Nobody that is
// parked could be served before, so as a rule those that cannot use freed are passed over without a look at the other hosts.
func (p *Pool) grantParked(now time.Time, freed *hostConns, closing []*Conn) []*Conn {
	if p.waiting.len == 0 {
		return closing
	}
	closing = append(closing, p.sync()...)
	all := freed == nil || p.changed || p.exhausted && p.canDial() || p.outageOver(now)
	if all {
		p.changed = false
		if now.After(p.lookedAll) {
			p.lookedAll = now
		}
	}
	p.freed, p.onlyFreed = freed, !all
	closing = p.grantQueues(now, closing)
	p.freed, p.onlyFreed = nil, false
	p.exhausted = !p.canDial()
	return closing
}

// grantQueues goes through the queues in the order of their first requests, which changes as those are served.
func (p *Pool) grantQueues(now time.Time, closing []*Conn) []*Conn {
	w := &p.waiting
	for q := w.first; q != nil && p.hasRoom() && !(p.onlyFreed && !p.opensFreed()); {
		w.looks++
		if p.onlyFreed && !p.concerns(q) {
			q = q.next
			continue
		}
		ok, evicted := p.grant(now, q.head)
		if !ok {
			q = q.next
			continue
		}
		if evicted != nil {
			closing = append(closing, evicted)
		}
		r, before := q.head, q.prev
		p.unpark(r)
		if r.state == granted { // else it waits on, for a connection that is being made
			r.Wake()
		}
		q = w.after(before)
	}
	return closing
}

// opensFreed reports whether the host that has become open can serve requests of any kind.
func (p *Pool) opensFreed() bool {
	return p.available(p.freed, false, true) || p.available(p.freed, false, false)
}

// concerns reports whether a queue's requests may be served by the host that has become open. It may err, but only by saying that they may.
func (p *Pool) concerns(q *queue) bool {
	hc := p.freed
	addr := hc.host.addr
	switch {
	case p.byName, p.set.name != nil: // any address of the name may do
		return true
	case q.to.IsValid():
		return q.to == addr
	case !hc.listed, hc.host.departed.Load(), q.family != familyOf(addr.Addr()):
		return false
	}
	// What a request avoids it may get if there is nothing else, which can only be so if there is not one more host.
	avoid := q.head.Avoid
	return len(p.set.byFamily[q.family]) <= len(avoid)+len(p.down)+q.endpoints.Out() || !slices.Contains(avoid, addr)
}

// retryParked serves those that are parked after the cluster has changed.
func (p *Pool) retryParked() {
	now := time.Now()
	p.change(func() []*Conn { return p.grantParked(now, nil, nil) })
}
