package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/standalone/policies"
)

// dialer connects as any program of this machine does.
type dialer struct{ services []policies.Service }

// Dial implements upstream.Dialer. The address of a Service leads to it, since no cluster is there to see to that.
func (d dialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	n := net.Dialer{KeepAlive: -1} // policies say which probes there are
	n.SetMultipathTCP(false)
	c, err := n.DialContext(ctx, "tcp", policies.Direct(d.services, to).String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// Resolve implements front.Resolver: names are those of Services, and then whatever this machine knows.
func (e *Engine) Resolve(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a.Unmap(), port), nil
	}
	a, ok, err := policies.ServiceAddress(e.options.Services, e.options.Namespace, host, port)
	if ok || err != nil {
		return netip.AddrPortFrom(a, port), err
	}
	// The resolver puts first what this machine has a way to (RFC 6724).
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		var unknown *net.DNSError
		if errors.As(err, &unknown) && unknown.IsNotFound {
			return netip.AddrPort{}, fmt.Errorf("there is no host %s; for a Service of a cluster, say where it is with --service", host)
		}
		return netip.AddrPort{}, fmt.Errorf("host %s could not be looked up: %w", host, err)
	}
	return netip.AddrPortFrom(all[0].Unmap(), port), nil
}
