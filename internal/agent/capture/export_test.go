package capture

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// CountOlder has looked called whenever connections older than their policy are counted.
func (o *Options) CountOlder(looked func()) {
	o.countOlder = func(ns *netns.Namespace, mark uint32, ipv6 bool, r intent.Redirect) ([]netip.AddrPort, error) {
		looked()
		return olderConnections(ns, mark, ipv6, r)
	}
}
