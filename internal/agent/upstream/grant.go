package upstream

// grant gives the ticket an idle connection or the place for a new one, if there is one. All functions of this file expect the
// lock. The victim is an idle connection that had to make room; the caller closes it after unlocking.
func (p *Pool) grant(t *Request) (ok bool, victim *Conn) {
	at, fresh := p.choose(t)
	if at == nil {
		return false, nil
	}
	if !fresh {
		t.conn = p.pop(at)
	}
	if t.conn != nil {
		t.conn.uses++
	} else {
		victim = p.makeRoom(at)
		p.open++
		at.open++
	}
	at.active++
	t.at, t.state = at, granted
	return true, victim
}

// makeRoom takes an idle connection out of the pool if a new one to at would be one too many.
func (p *Pool) makeRoom(at *endpoint) *Conn {
	switch {
	case len(at.idle) > 0 && p.endpointFull(at):
		return p.evict(at, 0)
	case p.poolFull():
		return p.evict(p.mostIdle(), 0)
	}
	return nil
}

// grantWaiting serves those who wait, first come first served. A ticket that needs an endpoint at its limit does not hold up
// those behind it that do not.
func (p *Pool) grantWaiting() (victims []*Conn) {
	for t := p.waiting.head; t != nil && p.hasRoom(); {
		next := t.next
		if ok, victim := p.grant(t); ok {
			p.waiting.remove(t)
			t.ready <- struct{}{}
			if victim != nil {
				victims = append(victims, victim)
			}
		}
		t = next
	}
	return victims
}

// hasRoom reports whether anybody at all can be served.
func (p *Pool) hasRoom() bool { return p.idle > 0 || !p.poolFull() }

// poolFull and endpointFull report whether a new connection would be one too many.
func (p *Pool) poolFull() bool {
	return p.limits.MaxConnections > 0 && p.open >= p.limits.MaxConnections
}

func (p *Pool) endpointFull(at *endpoint) bool {
	return p.limits.MaxConnectionsPerEndpoint > 0 && at.open >= p.limits.MaxConnectionsPerEndpoint
}

func (p *Pool) full(at *endpoint) bool { return p.poolFull() || p.endpointFull(at) }

// available reports whether the endpoint can take one more exchange.
func (p *Pool) available(at *endpoint) bool {
	return len(at.idle) > 0 || p.hasRoom() && !p.endpointFull(at)
}

// mostIdle returns the endpoint with the most idle connections. There is at least one: it is asked only when the pool is full
// and somebody was found a place.
func (p *Pool) mostIdle() *endpoint {
	most := p.withIdle[0]
	for _, at := range p.withIdle[1:] {
		if len(at.idle) > len(most.idle) {
			most = at
		}
	}
	return most
}
