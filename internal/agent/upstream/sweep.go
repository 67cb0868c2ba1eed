package upstream

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// looksPerSweep bounds how many idle connections of a pool a sweep looks at, a system call each: what it finds is found again
// before a connection is used, so it only has to see to it that ends of dead ones do not pile up.
const looksPerSweep = 16

// sweep closes idle connections that are too old, too many or no longer fit, and drops addresses nobody uses. What it costs grows
// with the connections that are idle, not with the endpoints.
func (p *Pool) sweep(now time.Time) {
	p.mu.Lock()
	victims := p.sweepIdle(now)
	p.sweepUnlisted()
	victims = append(victims, p.grantWaiting()...)
	var looks [looksPerSweep]look
	n := p.nextLooks(&looks)
	p.mu.Unlock()
	closeAll(victims)
	p.closeUnfit(looks[:n])
}

// sweepIdle takes idle connections that are too old or too many out of the pool.
func (p *Pool) sweepIdle(now time.Time) (victims []*Conn) {
	for r := len(p.withIdle) - 1; r >= 0; r-- { // an endpoint that is taken out is replaced by one that was seen already
		at := p.withIdle[r]
		for i := len(at.idle) - 1; i >= 0; i-- {
			if p.expired(at.idle[i], now) {
				victims = append(victims, p.evict(at, i))
			}
		}
		victims = p.trimIdle(at, victims)
	}
	return victims
}

// sweepUnlisted drops addresses that clients have named and use no more.
func (p *Pool) sweepUnlisted() {
	kept := p.unlisted[:0]
	for _, at := range p.unlisted {
		switch {
		case at.own || at.gone: // has become an endpoint of the destination since, and may not be one any more
		case at.open == 0:
			p.forget(at)
		default:
			kept = append(kept, at)
		}
	}
	clear(p.unlisted[len(kept):])
	p.unlisted = kept
}

// expired reports whether an idle connection has waited, or lived, long enough.
func (p *Pool) expired(c *Conn, now time.Time) bool {
	return p.limits.IdleTimeout > 0 && now.Sub(c.idleSince) >= p.limits.IdleTimeout || c.overdue(now) || p.wornOut(c, now)
}

// look is a look at an idle connection. uses tells whether somebody has used the connection since.
type look struct {
	conn *Conn
	uses int
}

// nextLooks notes the idle connections that it is the turn of, and returns how many.
func (p *Pool) nextLooks(looks *[looksPerSweep]look) (n int) {
	for range len(p.withIdle) {
		p.looked++
		for _, c := range p.withIdle[p.looked%len(p.withIdle)].idle {
			if n == len(looks) {
				return n
			}
			looks[n] = look{c, c.uses}
			n++
		}
	}
	return n
}

// closeUnfit looks at idle connections without the lock, for that takes system calls, and closes those that cannot be used again.
// Somebody may take and close one meanwhile, so it is looked at in a way that is safe then.
func (p *Pool) closeUnfit(looks []look) {
	var victims []*Conn
	for _, l := range looks {
		state := transport.Gone
		_ = l.conn.Pin(func() { state = l.conn.Peek() }) // fails when closed
		if state == transport.Quiet {
			continue
		}
		p.mu.Lock()
		if c := l.conn; c.idle && c.uses == l.uses {
			victims = append(victims, p.evictConn(c))
			victims = append(victims, p.grantWaiting()...)
		}
		p.mu.Unlock()
	}
	closeAll(victims)
}

// evictConn takes a certain idle connection out of the pool.
func (p *Pool) evictConn(c *Conn) *Conn {
	for i, idle := range c.at.idle {
		if idle == c {
			return p.evict(c.at, i)
		}
	}
	return c
}
