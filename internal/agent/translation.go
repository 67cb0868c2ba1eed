package agent

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/policy"
)

// newDetector makes what finds out whether this node translates the addresses of Services before connections are captured.
func (a *Agent) newDetector() *socketlb.Detector {
	return socketlb.NewDetector(socketlb.DetectorOptions{
		Probe:   socketlb.Probe, // in the agent's own namespace, which is a pod's
		Changed: func(now socketlb.Translated) { a.routes.SetTranslated(now.V4, now.V6) },
		Log:     a.opts.Log,
	})
}

// maxProbed bounds how many addresses of Services are handed to the detector, which needs a few.
const maxProbed = 16

// probed returns addresses of Services to which a connect would succeed: some of those that have endpoints for the node.
func probed(s *policy.Snapshot, at policy.Location) []netip.AddrPort {
	var out []netip.AddrPort
	for _, d := range s.Destinations {
		for i := range d.Ports {
			for _, ip := range d.ClusterIPs {
				if d.Serves(&d.Ports[i], at, ip) {
					out = append(out, netip.AddrPortFrom(ip, d.Ports[i].Port))
				}
			}
		}
		if len(out) >= maxProbed {
			break
		}
	}
	return out
}
