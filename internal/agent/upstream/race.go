package upstream

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// raceAfter is how long an address is waited for before another one of its name is connected to beside it: the Connection Attempt Delay of
// RFC 8305 section 5, by which clients go on to the next address that they know. To them their connection to the first is established, so
// they do not.
const raceAfter = enoughTime

// DialNamed is Dial for a request that may go to another address of the name that the cluster stands for. If its address is not connected to
// within raceAfter, find is called, from another goroutine, to make the name's addresses known (SetName), and one of them is connected
// to beside it. The first connection is the request's, and of those who wait for it; a failure is that of its own address. A panic of what is
// done beside is raised here, and the request is still granted then.
func (p *Pool) DialNamed(ctx context.Context, r *Request, find func(context.Context)) (Lease, error) {
	k, security := p.connector(r)
	began := time.Now()
	firstCtx, stopFirst := context.WithCancel(ctx)
	defer stopFirst()
	o := &otherAddress{pool: p, request: r, connector: k, connected: stopFirst, done: make(chan struct{})}
	o.start(ctx, find)
	defer o.abandon()
	if secure := k.Handshake; secure != nil {
		k.Handshake = func(ctx context.Context, c *transport.Conn) error {
			o.forgo()
			return secure(ctx, c)
		}
	}
	sock, err := k.Connect(firstCtx, r.to.host.addr)
	if other := o.end(sock); other != nil {
		if err != nil {
			p.moveTo(r, o.to, time.Now())
			return p.dialed(ctx, r, made{other, security, nil}, began)
		}
		_ = other.Close()
	}
	if err != nil {
		sock, err = p.detour(ctx, r, &k, err)
	}
	return p.dialed(ctx, r, made{sock, security, err}, began)
}

// otherAddress is a connect beside that of a request's own address.
type otherAddress struct {
	// immutable after start
	pool      *Pool
	request   *Request // of which nothing is changed meanwhile
	connector transport.Connector
	connected func() // is called when there is a connection
	done      chan struct{}
	timer     *time.Timer
	cancel    context.CancelFunc

	forgone bool // it never begins
	ended   bool // end was called

	// written before done is closed
	to       netip.AddrPort
	sock     *transport.Conn
	panicked panics.Carrier
}

func (o *otherAddress) start(ctx context.Context, find func(context.Context)) {
	ctx, o.cancel = context.WithCancel(ctx)
	o.timer = time.AfterFunc(raceAfter, func() {
		defer close(o.done)
		defer o.panicked.Catch() // what servers send is read here
		find(ctx)
		var ok bool
		if o.to, ok = o.pool.rivalOf(o.request, time.Now()); !ok {
			return
		}
		if o.sock, _ = o.connector.Connect(ctx, o.to); o.sock != nil {
			o.connected()
		}
	})
}

// forgo has the connect not begin, if it has not yet: the first address is there, and what is left is its handshake.
func (o *otherAddress) forgo() {
	if o.timer.Stop() {
		o.forgone = true
	}
}

// end waits until the connect has come to its end, which is at once if there is the connection of the first address, and returns its own if there
// is one. If it has panicked, so does end, and has closed the first one's.
func (o *otherAddress) end(first *transport.Conn) *transport.Conn {
	o.ended = true
	defer o.cancel()
	if o.forgo(); o.forgone {
		return nil
	}
	if first != nil {
		o.cancel()
	}
	<-o.done
	if o.panicked.Holds() && first != nil {
		_ = first.Close()
	}
	o.panicked.Raise()
	return o.sock
}

// abandon ends the connect if the first one has panicked, before the request is somebody else's.
func (o *otherAddress) abandon() {
	if o.ended {
		return
	}
	o.ended = true
	o.cancel()
	if o.forgo(); o.forgone {
		return
	}
	if <-o.done; o.sock != nil {
		_ = o.sock.Close()
	}
}

// rivalOf returns another address for a request: one that can be connected to, as far as is known. Where connections are limited there is none,
// since a second one to be counted would take somebody's place.
func (p *Pool) rivalOf(r *Request, now time.Time) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.cluster.hosts.Load().name
	if !r.Pinned || !n.holds(now) || p.limits.MaxConnections > 0 || p.limits.MaxConnectionsPerEndpoint > 0 {
		return netip.AddrPort{}, false
	}
	return n.other(r, p.random(), func(a netip.AddrPort) bool {
		hc := p.unlisted[a]
		return (hc == nil || !hc.isDown(now)) && a != r.to.host.addr && !slices.Contains(r.Avoid, a)
	})
}

// moveTo has a granted request go to another address than the one it was granted for, which was too slow.
func (p *Pool) moveTo(r *Request, to netip.AddrPort, now time.Time) {
	p.change(func() []*Conn {
		closing := p.sync()
		slow, hc := r.to, p.at(to)
		slow.open--
		slow.host.outstanding.Add(-1)
		hc.open++
		hc.host.outstanding.Add(1)
		r.to, r.host = hc, hc.host
		r.moved()
		if r.pending != nil {
			r.pending.divert(hc)
		}
		p.noteUnconnected(slow, now)
		return p.grantParked(now, nil, closing)
	})
}
