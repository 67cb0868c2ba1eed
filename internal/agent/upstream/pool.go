package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/socket"
	"fairlead.dev/fairlead/internal/policy"
)

// freshFor is how long an idle connection is trusted without a look at it, which costs a system call, when what is sent could be
// sent again anyway.
const freshFor = 2 * time.Millisecond

// Options configure a Pool.
type Options struct {
	Dialer        Dialer
	Limits        policy.Pool
	LoadBalancing policy.LoadBalancing
	Endpoints     []netip.AddrPort
	// Random returns uniform random numbers; nil means math/rand/v2.
	Random func() uint64
}

// Pool holds the connections of one pod to one destination.
type Pool struct {
	// immutable after New
	dialer Dialer
	random func() uint64

	mu sync.Mutex
	// guarded by mu
	limits    policy.Pool
	balancing policy.LoadBalancing
	endpoints []*endpoint // the destination's own, in the order given
	byAddr    map[netip.AddrPort]*endpoint
	last      *endpoint // what byAddr found last
	cursor    uint64    // of round robin
	waiting   queue
	open      int // connections, those being dialled included
	idle      int
	closed    bool
}

// New returns a pool without connections.
func New(o Options) (*Pool, error) {
	if o.Dialer == nil {
		return nil, errors.New("upstream: a pool needs a dialer")
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	p := &Pool{
		dialer: o.Dialer, random: o.Random, limits: o.Limits, balancing: o.LoadBalancing,
		byAddr: make(map[netip.AddrPort]*endpoint, len(o.Endpoints)),
	}
	p.cursor = p.random() // pods start their rounds at different endpoints
	p.setEndpoints(o.Endpoints)
	return p, nil
}

// Answer is the pool's first word on a ticket.
type Answer uint8

const (
	// Granted: redeem the ticket with Take.
	Granted Answer = iota
	// Queued: wait for Ticket.Ready, then redeem the ticket, or give up with Forget.
	Queued
	// Overflow: as many calls wait already as may.
	Overflow
)

// Ask wishes for a connection.
func (p *Pool) Ask(t *Ticket) Answer {
	p.mu.Lock()
	ok, victim := p.grant(t)
	if ok {
		p.mu.Unlock()
		if victim != nil {
			_ = victim.Close()
		}
		return Granted
	}
	defer p.mu.Unlock()
	if p.waiting.len >= p.limits.MaxPending {
		return Overflow
	}
	t.state = queued
	p.waiting.push(t)
	return Queued
}

// Forget gives up a ticket, queued or granted.
func (p *Pool) Forget(t *Ticket) {
	p.mu.Lock()
	state, conn := t.state, t.conn
	t.state, t.conn = unused, nil
	if state == queued {
		p.waiting.remove(t)
	}
	p.mu.Unlock()
	select { // a grant nobody listened to
	case <-t.ready:
	default:
	}
	switch {
	case state != granted:
	case conn != nil:
		conn.uses--
		p.Done(conn, true, conn.idleSince)
	default:
		p.vacate(t.at)
	}
}

// Take redeems a granted ticket with an idle connection that is still alive. It returns nil when a new one has to be made with
// Dial, for which the ticket keeps its place.
func (p *Pool) Take(t *Ticket, now time.Time) *Conn {
	for t.conn != nil {
		c := t.conn
		if !t.Careful && now.Sub(c.idleSince) < freshFor || c.Peek() == socket.Quiet {
			t.state, t.conn = unused, nil
			return c
		}
		_ = c.Close()
		p.mu.Lock()
		p.nextIdle(t)
		p.mu.Unlock()
	}
	return nil
}

// nextIdle replaces a ticket's dead connection by another idle one. Each holds a place of its own; the dead one's is freed, or
// kept for a new connection when there is no other.
func (p *Pool) nextIdle(t *Ticket) {
	t.conn = t.at.pop()
	if t.conn == nil {
		return
	}
	t.conn.uses++
	p.idle--
	p.open--
	t.at.open--
	p.grantWaiting()
}

// Dial redeems a granted ticket with a new connection. When it fails, the ticket is spent.
func (p *Pool) Dial(ctx context.Context, t *Ticket) (*Conn, error) {
	t.state = unused
	p.mu.Lock()
	keepAlive := p.limits.KeepAlive
	p.mu.Unlock()
	sock, err := connect(ctx, p.dialer, t.at.addr, keepAlive)
	if err != nil {
		p.vacate(t.at)
		return nil, err
	}
	return &Conn{Conn: sock, pool: p, at: t.at, born: time.Now(), uses: 1}, nil
}

// Done gives a connection back to its pool. keep says that it is fit for another exchange: the response was read to its end,
// nothing is left over, both sides agreed to go on.
func (c *Conn) Done(keep bool, now time.Time) { c.pool.Done(c, keep, now) }

// Done is Conn.Done.
func (p *Pool) Done(c *Conn, keep bool, now time.Time) {
	p.mu.Lock()
	at := c.at
	at.active--
	keep = keep && !p.closed && !at.gone && !p.tooMany(at) && !p.wornOut(c, now) && (len(at.idle) < p.limits.MaxIdlePerEndpoint || p.waiting.head != nil)
	if keep {
		c.idleSince = now
		at.idle = append(at.idle, c)
		p.idle++
	} else {
		p.open--
		at.open--
	}
	var victims []*Conn
	if p.waiting.head != nil {
		victims = p.grantWaiting()
		victims = p.trimIdle(at, victims)
	}
	p.mu.Unlock()
	if !keep {
		_ = c.Close()
	}
	closeAll(victims)
}

// vacate frees the place of a connection that was never made.
func (p *Pool) vacate(at *endpoint) {
	p.mu.Lock()
	at.active--
	at.open--
	p.open--
	victims := p.grantWaiting()
	p.mu.Unlock()
	closeAll(victims)
}

// wornOut reports whether a connection has served long or often enough.
func (p *Pool) wornOut(c *Conn, now time.Time) bool {
	return p.limits.MaxRequestsPerConnection > 0 && c.uses >= p.limits.MaxRequestsPerConnection ||
		p.limits.MaxLifetime > 0 && now.Sub(c.born) >= p.limits.MaxLifetime
}

// trimIdle takes what is above MaxIdlePerEndpoint, after a connection was kept for a waiter that chose another endpoint.
func (p *Pool) trimIdle(at *endpoint, victims []*Conn) []*Conn {
	for len(at.idle) > max(p.limits.MaxIdlePerEndpoint, 0) {
		victims = append(victims, p.evict(at))
	}
	return victims
}

// evict takes an endpoint's oldest idle connection out of the pool; the caller closes it.
func (p *Pool) evict(at *endpoint) *Conn {
	c := at.popOldest()
	p.idle--
	p.open--
	at.open--
	return c
}

func closeAll(victims []*Conn) {
	for _, c := range victims {
		_ = c.Close()
	}
}

// Stats are a pool's gauges.
type Stats struct{ Active, Idle, Waiting int }

// Stats returns the gauges as they are now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Active: p.open - p.idle, Idle: p.idle, Waiting: p.waiting.len}
}
