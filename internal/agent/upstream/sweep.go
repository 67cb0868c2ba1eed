package upstream

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// looksPerSweep bounds how many idle connections of a pool a sweep looks at, a system call each: what it finds is found again
// before a connection is used, so it only has to see to it that ends of dead ones do not pile up.
const looksPerSweep = 16

// sweep closes idle connections that are too old, too many, no longer fit, or to hosts that are gone, and drops addresses that are not used.
// What it costs grows with the connections that are idle, not with the hosts.
func (p *Pool) sweep(now time.Time) {
	var looks [looksPerSweep]look
	var n int
	p.change(func() []*Conn {
		closing := p.sweepIdle(now, p.sync())
		p.sweepUnlisted(now)
		closing = p.grantParked(now, nil, closing)
		n = p.nextLooks(&looks)
		return closing
	})
	p.closeUnfit(now, looks[:n])
}

// sweepIdle takes idle connections that are too old or too many out of the pool.
func (p *Pool) sweepIdle(now time.Time, closing []*Conn) []*Conn {
	expired := func(c *Conn) bool { return p.expired(now, c) }
	for i := len(p.withIdle) - 1; i >= 0; i-- { // one that is taken out is replaced by one that was seen already
		hc := p.withIdle[i]
		closing = p.trimIdle(hc, p.evictIf(hc, expired, closing))
	}
	return closing
}

// sweepUnlisted drops addresses that clients have named and use no more.
func (p *Pool) sweepUnlisted(now time.Time) {
	for addr, hc := range p.unlisted {
		if hc.open > 0 || hc.outage.remembered(now) {
			continue
		}
		p.noteConnected(hc)
		delete(p.unlisted, addr)
		if p.last == hc {
			p.last = nil
		}
	}
}

// expired reports whether an idle connection has waited, or lived, long enough.
func (p *Pool) expired(now time.Time, c *Conn) bool {
	return p.limits.IdleTimeout > 0 && now.Sub(c.idleSince) >= p.limits.IdleTimeout || c.overdue(now) || p.wornOut(now, c)
}

// look is an idle connection to be checked. uses is its number of exchanges then: if that has changed, the connection was used since.
type look struct {
	conn *Conn
	uses int
}

// nextLooks takes the next idle connections in turn to be checked, and returns how many.
func (p *Pool) nextLooks(looks *[looksPerSweep]look) (n int) {
	for range len(p.withIdle) {
		p.looked++
		for _, c := range p.withIdle[p.looked%len(p.withIdle)].idle {
			switch {
			case c.multiplexed: // its driver sees to it
			case n == len(looks):
				return n
			default:
				looks[n] = look{c, c.uses}
				n++
			}
		}
	}
	return n
}

// looksFit reports whether an idle connection seems to be fit for use. It is safe while a request takes, uses or closes it. What has arrived on one
// with a security layer only its user can tell: it may be no answer but a message of that layer.
func (c *Conn) looksFit() bool {
	if !c.Plain() {
		return c.Ending() == transport.Open
	}
	state := transport.Gone
	_ = c.Pin(func() { state = c.Peek() }) // fails when closed
	return state == transport.Quiet
}

// closeUnfit checks idle connections without the lock, for that takes system calls, and closes those that cannot be used again.
func (p *Pool) closeUnfit(now time.Time, looks []look) {
	unfit := looks[:0]
	for _, l := range looks {
		if !l.conn.looksFit() {
			unfit = append(unfit, l)
		}
	}
	if len(unfit) == 0 {
		return
	}
	p.change(func() (closing []*Conn) {
		for _, l := range unfit {
			if c := l.conn; c.idle && c.uses == l.uses {
				closing = p.evictIf(c.to, func(other *Conn) bool { return other == c }, closing)
			}
		}
		return p.grantParked(now, nil, closing)
	})
}
