package routes

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

// rejectQUIC adds the flows of QUIC that could be calls to a target, as far as addresses can say: a flow shows no name.
func rejectQUIC(q *intent.QUIC, to *policy.Target, destinations map[string]*policy.Destination) {
	ports := to.Ports
	if to.Kind == policy.TargetHost && len(ports) == 0 {
		ports = defaultHostPorts
	}
	if !portIn(ports, intent.QUICPort) {
		return
	}
	switch to.Kind {
	case policy.TargetHost, policy.TargetAny:
		q.All = true
	case policy.TargetCIDR:
		q.Blocks = append(q.Blocks, intent.Block{Prefix: to.Block, Except: to.Except})
	case policy.TargetService:
		d := destinations[to.Service]
		if d == nil || !hasPort(d, intent.QUICPort) {
			return
		}
		for _, ip := range d.ClusterIPs {
			q.Blocks = append(q.Blocks, intent.Block{Prefix: netip.PrefixFrom(ip, ip.BitLen())})
		}
	}
}

func hasPort(d *policy.Destination, port uint16) bool {
	for i := range d.Ports {
		if d.Ports[i].Port == port {
			return true
		}
	}
	return false
}
