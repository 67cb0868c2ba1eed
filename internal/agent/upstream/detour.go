package upstream

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// unroutable reports whether a connect has failed for want of a way, as in a pod that has no address of the family: nobody was asked.
func unroutable(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// detour goes on with a connect that has failed for want of a way, to an address of the other family that the same name has: a pod that has one
// family alone does not lose an attempt with each address that it cannot use. What else has failed, it returns as it is.
func (p *Pool) detour(ctx context.Context, r *Request, k *transport.Connector, err error) (*transport.Conn, error) {
	if !unroutable(err) {
		return nil, err
	}
	now := time.Now()
	to, ok := p.otherFamily(r, now)
	if !ok {
		return nil, err
	}
	p.moveTo(r, to, now)
	return k.Connect(ctx, to)
}

// otherFamily returns an address for a request of the family that its own is not of, if there is one that can be connected to as far as is known;
// one that was not tried comes first. Where connections are limited there is none, see rivalOf.
func (p *Pool) otherFamily(r *Request, now time.Time) (to netip.AddrPort, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.cluster.hosts.Load().name
	if n == nil || p.limits.MaxConnections > 0 || p.limits.MaxConnectionsPerEndpoint > 0 {
		return to, false
	}
	f := familyOf(r.to.host.addr.Addr())
	able := func(a netip.AddrPort) bool {
		hc := p.unlisted[a]
		return familyOf(a.Addr()) != f && (hc == nil || !hc.isDown(now))
	}
	untried := func(a netip.AddrPort) bool { return able(a) && !slices.Contains(r.Avoid, a) }
	for _, will := range [...]func(netip.AddrPort) bool{untried, able} {
		switch {
		case p.byName:
			if i := slices.IndexFunc(n.Addrs, will); i >= 0 {
				return n.Addrs[i], true
			}
		case r.Pinned && n.holds(now):
			if to, ok = n.other(r, p.random(), will); ok {
				return to, true
			}
		}
	}
	// The one that the client chose is no other one of the name, and has been tried, but it can be.
	return r.Original, !p.byName && r.Pinned && n.holds(now) && able(r.Original)
}
