package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/standalone/policies"
)

// dialer connects as any program of this machine does.
type dialer struct {
	services []policies.Service
	further  *further
}

// Dial implements upstream.Dialer. The address of a Service leads to it, since no cluster is there to see to that. Of a host with several addresses, those
// that come after the first are called in turn if that cannot be connected to.
func (d dialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	n := net.Dialer{KeepAlive: -1} // policies say which probes there are
	n.SetMultipathTCP(false)
	rest := d.further.of(to)
	n.Deadline = share(ctx, len(rest))
	c, err := n.DialContext(ctx, "tcp", policies.Direct(d.services, to).String())
	for i, a := range rest {
		if err == nil || ctx.Err() != nil {
			break
		}
		n.Deadline = share(ctx, len(rest)-i-1)
		c, err = n.DialContext(ctx, "tcp", netip.AddrPortFrom(a, to.Port()).String())
	}
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// share is until when an address may be called, so that as much time is left for each that comes after it: one may drop packets. Zero: ctx has no deadline.
func share(ctx context.Context, after int) time.Time {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return time.Now().Add(time.Until(end) / time.Duration(after+1))
}

// maxFurther is of how many addresses further ones are kept.
const maxFurther = 1024

// further are the addresses of hosts that come after the first one, by that. A connection to it may be for any host of which it is the first.
type further struct {
	mu  sync.Mutex
	all map[netip.AddrPort]addresses // guarded by mu
}

// addresses are those that a host has besides the first one, or that several hosts have in common.
type addresses struct {
	host string // empty: there are several
	rest []netip.Addr
}

func (f *further) of(first netip.AddrPort) []netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[first].rest
}

// keep keeps what was looked up last of a host: where others have the same first address, what is common to them. Of what is too much nothing is kept, rather than
// forgotten which hosts there were.
func (f *further) keep(host string, first netip.AddrPort, rest []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, kept := f.all[first]
	switch {
	case !kept && len(f.all) >= maxFurther:
		return
	case f.all == nil:
		f.all = map[netip.AddrPort]addresses{}
	case kept && before.host != host:
		host = ""
		rest = slices.DeleteFunc(rest, func(a netip.Addr) bool { return !slices.Contains(before.rest, a) })
	}
	f.all[first] = addresses{host, rest}
}

// Resolve implements front.Resolver: names are those of Services, and then whatever this machine knows.
func (e *Engine) Resolve(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return e.reached(host, port, a), nil
	}
	a, ok, err := policies.ServiceAddress(e.options.Services, e.options.Namespace, host, port)
	if ok || err != nil {
		return netip.AddrPortFrom(a, port), err
	}
	// The resolver puts first what this machine has a way to (RFC 6724).
	all, err := e.lookup(ctx, "ip", host)
	if err != nil {
		var unknown *net.DNSError
		if errors.As(err, &unknown) && unknown.IsNotFound {
			return netip.AddrPort{}, fmt.Errorf("there is no host %s; for a Service of a cluster, say where it is with --service", host)
		}
		return netip.AddrPort{}, fmt.Errorf("host %s could not be looked up: %w", host, err)
	}
	return e.reached(host, port, all...), nil
}

// reached is where a host with some addresses is called.
func (e *Engine) reached(host string, port uint16, all ...netip.Addr) netip.AddrPort {
	for i := range all {
		all[i] = all[i].Unmap()
	}
	first := netip.AddrPortFrom(all[0], port)
	e.further.keep(host, first, all[1:])
	return first
}
