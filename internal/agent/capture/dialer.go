package capture

import (
	"context"
	"net/netip"

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
	ns := d.manager.namespace(d.uid)
	if ns == nil {
		return nil, ErrNotCaptured
	}
	conn, err := ns.Dial(ctx, to, d.manager.options.Mark)
	switch {
	case err == nil:
		return conn, nil
	case gone(err), d.manager.namespace(d.uid) != ns:
		// What a pod's network says while it is taken away is nothing about the other side.
		return nil, ErrNotCaptured
	case exhausted(err):
		d.manager.load.exhaust()
	}
	return nil, err
}
