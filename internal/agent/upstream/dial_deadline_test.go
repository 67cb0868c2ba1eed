package upstream

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// slowDialer takes 5 ms to connect: a healthy server.
type slowDialer struct{ plainDialer }

func (d *slowDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.plainDialer.Dial(ctx, to)
}

// A call whose time is up while it connects says nothing of the host: other calls still go there. One that waited for as long as the policy
// allows does.
func TestACallsOwnDeadlineIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoints := addresses(5)
		p, _ := newPool(t, func(s *setup) { s.Dialer = &slowDialer{}; s.KeepFor = time.Hour }, endpoints...)
		p.affinity = NewAffinity("pod", "ns/s:80")
		r := request()
		r.ask(p)
		kept := r.peer()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := p.Dial(ctx, &r.Request)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		for i := range 3 {
			r = request()
			r.ask(p)
			if r.peer() != kept {
				t.Errorf("call %d goes to %v, not to the kept %v: down %d", i, r.peer(), kept, len(p.down))
			}
			r.cancel(p)
		}
		ctx, cancel = context.WithTimeoutCause(t.Context(), time.Millisecond, ErrConnectTimeout)
		r = request()
		r.ask(p)
		_, _ = p.Dial(ctx, &r.Request)
		cancel()
		if len(p.down) != 1 {
			t.Errorf("%d hosts are left out after the timeout for connecting, want the one", len(p.down))
		}
	})
}

// The first endpoint follows from pod, Service and addresses (operations.md), also when the pool is full.
func TestTheFirstKeptHostIsTheHighestInAFullPool(t *testing.T) {
	servers := addresses(4)
	p, _ := newPool(t, func(s *setup) { s.KeepFor = time.Minute; s.Limits.MaxConnections = 1 }, servers...)
	p.affinity = NewAffinity("pod", "ns/s:80")
	best := p.affinity.highest(p.set.byFamily[0], func(*Host) bool { return true })
	var other *Host
	for _, h := range p.set.byFamily[0] {
		if h != best {
			other = h
		}
	}
	// an idle connection to another one, as a pinned call leaves it
	p.mu.Lock()
	hc := p.addListed(other)
	c := &Conn{pool: p, to: hc, capacity: 1, born: time.Now(), idleSince: time.Now()}
	p.open, hc.open = 1, 1
	p.push(c)
	p.mu.Unlock()
	p.mu.Lock()
	got, _ := p.choose(time.Now(), &Request{})
	p.evictAll(nil)
	p.mu.Unlock()
	if got.host != best {
		t.Errorf("kept %v, want %v", got.host.addr, best.addr)
	}
}
