package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// provenFor is how long an idle connection counts as proven alive to any client: shorter than servers keep idle connections.
const provenFor = 500 * time.Millisecond

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
	given     []netip.AddrPort      // the destination's own endpoints as SetEndpoints had them
	endpoints [families][]*endpoint // the same by family, in the order given
	cursor    [families]int         // of round robin: the one used last
	byAddr    map[netip.AddrPort]*endpoint
	last      *endpoint   // what byAddr found last
	unlisted  []*endpoint // those of byAddr that are not the destination's own
	withIdle  []*endpoint // those with idle connections
	unhealthy int         // how many have a health
	down      int         // how many of them could not be connected to
	waiting   queue
	open      int // connections, those being dialled included
	idle      int
	looked    int // where sweeps look next whether idle connections are still fit
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
	p.setEndpoints(o.Endpoints)
	for f := range p.cursor { // pods start their rounds at different endpoints
		p.cursor[f] = int(p.random() % uint64(max(len(p.endpoints[f]), 1)))
	}
	return p, nil
}

// Answer is the pool's first word on a ticket.
type Answer uint8

const (
	// Granted: redeem the ticket with Take.
	Granted Answer = iota
	// Queued: wait for Ticket.Ready, then redeem the ticket, or give up with Withdraw or Forget.
	Queued
	// Overflow: as many calls wait already as may.
	Overflow
)

// Acquire wishes for a connection. Without limits it is always granted.
func (p *Pool) Acquire(t *Request) Answer {
	p.mu.Lock()
	if p.waiting.head != nil {
		// Time alone may have made a place: an endpoint that could not be reached is tried again after a while.
		victims := p.grantWaiting()
		defer closeAll(victims)
	}
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

// CancelQueued gives up a queued ticket, unless it has been granted in the meantime: then it reports true, and the ticket still has
// to be redeemed with Take and Dial, or given back with Forget.
func (p *Pool) CancelQueued(t *Request) (wasGranted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.state == granted {
		t.drainReady()
		return true
	}
	if t.state == queued {
		p.waiting.remove(t)
	}
	t.state = unused
	return false
}

// Cancel gives up a ticket, queued or granted. It reports whether it had been granted.
func (p *Pool) Cancel(t *Request) (wasGranted bool) {
	p.mu.Lock()
	state, conn := t.state, t.conn
	t.state, t.conn = unused, nil
	if state == queued {
		p.waiting.remove(t)
	}
	p.mu.Unlock()
	t.drainReady()
	switch {
	case state != granted:
	case conn != nil:
		conn.uses--
		p.put(conn, true, conn.idleSince)
	default:
		p.vacate(t.at)
	}
	return state == granted
}

// Redeem redeems a granted ticket with an idle connection that is fit for it. It returns nil when a new one has to be made with
// Dial, for which the ticket keeps its place.
//
// A connection is looked at before it is used, which costs a system call: one that the server has closed cannot serve, and
// bytes that came unasked are nobody's answer. RFC 9112 section 9.2: a client that receives data on a connection without
// outstanding requests "MUST NOT consider that data to be a valid response".
func (p *Pool) Redeem(t *Request, now time.Time) *Conn {
	for t.conn != nil {
		c := t.conn
		switch {
		case c.overdue(now) || c.Peek() != transport.Quiet:
			p.discard(t)
		case t.Careful && !c.proven(t.Client, now):
			p.preferProven(t)
		default:
			t.state, t.conn = unused, nil
			c.client = t.Client
			return c
		}
	}
	return nil
}

// discard closes a ticket's connection and replaces it by another idle one. Each holds a place of its own; the first one's is
// freed, or kept for a new connection when there is no other.
func (p *Pool) discard(t *Request) {
	dead := t.conn
	var victims []*Conn
	p.mu.Lock()
	if t.conn = p.pop(t.at); t.conn != nil {
		t.conn.uses++
		p.open--
		t.at.open--
		victims = p.grantWaiting()
	}
	p.mu.Unlock()
	_ = dead.Close()
	closeAll(victims)
}

// preferProven puts a ticket's connection back and replaces it by one that the same client used last, or has a new one made. It
// stays for requests that may be sent again, if there is room for one more.
func (p *Pool) preferProven(t *Request) {
	at, c := t.at, t.conn
	var victims []*Conn
	p.mu.Lock()
	t.conn = p.pullOf(at, t.Client)
	switch {
	case p.closed, at.gone, len(at.idle) >= p.limits.MaxIdlePerEndpoint:
		victims = append(victims, c)
		if t.conn != nil {
			p.open--
			at.open--
		}
	case t.conn == nil && p.full(at):
		victims = append(victims, c)
	default:
		c.uses--
		p.push(c)
		if t.conn == nil {
			p.open++
			at.open++
		}
	}
	if t.conn != nil {
		t.conn.uses++
	}
	victims = append(victims, p.grantWaiting()...)
	p.mu.Unlock()
	closeAll(victims)
}

// Dial redeems a granted ticket with a new connection. When it fails, the ticket is spent.
func (p *Pool) Dial(ctx context.Context, t *Request) (*Conn, error) {
	p.mu.Lock()
	keepAlive := p.limits.KeepAlive
	p.mu.Unlock()
	sock, err := connect(ctx, p.dialer, t.at.addr, keepAlive)
	t.state = unused // until then whoever gives up the ticket gives the place back
	now := time.Now()
	if err != nil {
		p.dialFailed(t.at, FailureOf(err), now)
		return nil, err
	}
	if t.at.unhealthy.Load() {
		p.mu.Lock()
		p.noteConnected(t.at)
		p.mu.Unlock()
	}
	return &Conn{Conn: sock, pool: p, at: t.at, born: now, uses: 1, client: t.Client}, nil
}

// dialFailed frees the place of a connection that could not be made, and remembers it of the endpoint if that is to blame.
func (p *Pool) dialFailed(at *endpoint, kind call.Kind, now time.Time) {
	if kind == call.ConnectFailed || kind == call.ConnectTimeout {
		p.mu.Lock()
		p.noteUnconnected(at, now)
		p.mu.Unlock()
	}
	p.vacate(at)
}

// Release gives a connection back to its pool. keep says that it is fit for another exchange: the response was read to its end,
// nothing is left over, both sides agreed to go on.
func (c *Conn) Release(keep bool, now time.Time) { c.pool.Release(c, keep, now) }

// Release is Conn.Done.
func (p *Pool) Release(c *Conn, keep bool, now time.Time) {
	if c.detached {
		_ = c.Close()
		return
	}
	p.put(c, keep && c.idleLimit >= 0, now)
}

func (p *Pool) put(c *Conn, keep bool, idleSince time.Time) {
	p.mu.Lock()
	at := c.at
	at.active--
	keep = keep && !p.closed && !at.gone && !p.tooMany(at) && !p.wornOut(c, idleSince) &&
		(len(at.idle) < p.limits.MaxIdlePerEndpoint || p.waiting.head != nil)
	if keep {
		c.idleSince = idleSince
		p.push(c)
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

// vacate frees the place of a connection that was never made, or is none of the pool's any more.
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
		victims = append(victims, p.evict(at, 0))
	}
	return victims
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
