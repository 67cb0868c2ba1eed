package capture

import (
	"context"
	"net/netip"
	"os"
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// PodDialer dials from inside one pod, through whichever sandbox the pod has at the moment. It may be made before the pod is
// captured and used by many goroutines.
type PodDialer struct {
	manager *Manager
	uid     string
}

// Dialer returns the dialer of the pod with this UID.
func (m *Manager) Dialer(uid string) *PodDialer { return &PodDialer{manager: m, uid: uid} }

// Dial connects from inside the pod, as Dialer says.
func (d *PodDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	p := d.manager.capture(d.uid)
	if p == nil {
		return nil, ErrNotCaptured
	}
	a := p.reachable.Load()
	if a == nil {
		return nil, ErrNotCaptured
	}
	load := d.manager.load
	if err := load.dial(&p.load); err != nil {
		return nil, err
	}
	conn, err := a.ns.Dial(ctx, to, d.manager.options.Mark)
	if err != nil {
		load.hungUp(&p.load)
	}
	switch {
	case err == nil:
		return &dialled{File: conn, load: load, pod: &p.load}, nil
	case gone(err), d.manager.attached(d.uid) != a:
		// Errors that a pod's network returns while it is being removed are no failures of the upstream.
		return nil, ErrNotCaptured
	case exhausted(err):
		d.manager.load.exhaust()
	}
	return nil, err
}

// dialled is a connection that counts as its pod's until it is closed.
type dialled struct {
	*os.File
	load   *load
	pod    *podLoad
	closed atomic.Bool
}

// Close implements transport.Socket.
func (c *dialled) Close() error {
	if !c.closed.Swap(true) {
		c.load.hungUp(c.pod)
	}
	return c.File.Close()
}

// ClientOpen reports whether a process of the pod still holds its end of a captured connection, given where the connection came from and
// its original destination. known is false when that cannot be said: the pod has gone, the kernel does not know the connection (its source
// port may have been translated, where two connections to different servers came from one port), or cannot be asked.
func (d *PodDialer) ClientOpen(client, original netip.AddrPort) (open, known bool) {
	a := d.manager.attached(d.uid)
	if a == nil {
		return false, false
	}
	s, err := sockdiag.Find(a.clientSocket(mechanism.Connection{From: client, To: original}))
	return s.Held, err == nil
}
