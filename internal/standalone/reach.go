package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

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
	c, err := n.DialContext(ctx, "tcp", policies.Direct(d.services, to).String())
	for _, a := range d.further.of(to) {
		if err == nil || ctx.Err() != nil {
			break
		}
		c, err = n.DialContext(ctx, "tcp", netip.AddrPortFrom(a, to.Port()).String())
	}
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// maxFurther is of how many addresses further ones are kept.
const maxFurther = 1024

// further are the addresses of hosts that come after the first one, by that.
type further struct {
	mu  sync.Mutex
	all map[netip.AddrPort][]netip.Addr // guarded by mu
}

func (f *further) of(first netip.AddrPort) []netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[first]
}

// keep keeps what was looked up last. Where that is too much, it forgets the rest: each connection of the command looks its host up.
func (f *further) keep(first netip.AddrPort, rest []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) >= maxFurther || f.all == nil {
		f.all = map[netip.AddrPort][]netip.Addr{}
	}
	f.all[first] = rest
}

// Resolve implements front.Resolver: names are those of Services, and then whatever this machine knows.
func (e *Engine) Resolve(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return e.reached(port, a), nil
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
	return e.reached(port, all...), nil
}

// reached is where a host with some addresses is called.
func (e *Engine) reached(port uint16, all ...netip.Addr) netip.AddrPort {
	for i := range all {
		all[i] = all[i].Unmap()
	}
	first := netip.AddrPortFrom(all[0], port)
	e.further.keep(first, all[1:])
	return first
}
