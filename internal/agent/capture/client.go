package capture

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// ClientOpen reports whether a process of the pod still holds its end of a captured connection, given the addresses as the pod's
// side knows them. known is false when that cannot be told: the pod has gone, the kernel does not know the connection (its source
// port may have been translated, where two connections to different servers came from one port), or cannot be asked.
func (d *PodDialer) ClientOpen(client, original netip.AddrPort) (open, known bool) {
	ns := d.manager.namespace(d.uid)
	if ns == nil {
		return false, false
	}
	open, err := nft.SocketHeld(ns, client, original)
	return open, err == nil
}
