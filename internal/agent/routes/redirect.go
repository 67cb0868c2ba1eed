package routes

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

// defaultHostPorts are the ports of a target that names a host and no ports.
var defaultHostPorts = []uint16{80, 443}

// RedirectFor computes what has to come to the agent, as narrow as addresses and ports can say, so that the profile can be enforced. Disabled bindings ask
// for nothing, and neither do Services without endpoints: a connection to them must fail as it does without us, which the kernel refuses
// in pods that fail closed once the agent is gone.
func RedirectFor(p *policy.Profile, destinations map[string]*policy.Destination, at policy.Location) intent.Redirect {
	r := intent.Redirect{FailClosed: p.FailClosed}
	for i := range p.Bindings {
		b := &p.Bindings[i]
		switch {
		case b.Mode == policy.ModeEnforce:
			redirectTarget(&r, &b.To, destinations, at)
			if b.RejectQUIC {
				rejectQUIC(&r.RejectQUIC, &b.To, destinations)
			}
		case b.Mode == policy.ModeDryRun && !b.Unchanged: // calls are looked at, and nothing is refused
			closed := r.FailClosed
			r.FailClosed = false
			redirectTarget(&r, &b.To, destinations, at)
			r.FailClosed = closed
		}
	}
	return r
}

func redirectTarget(r *intent.Redirect, to *policy.Target, destinations map[string]*policy.Destination, at policy.Location) {
	switch to.Kind {
	case policy.TargetService:
		if d := destinations[to.Service]; d != nil {
			redirectService(r, to, d, at)
		}
	case policy.TargetHost:
		ports := to.Ports
		if len(ports) == 0 {
			ports = defaultHostPorts
		}
		r.Ports = append(r.Ports, ports...)
	case policy.TargetCIDR:
		r.Blocks = append(r.Blocks, intent.Block{Prefix: to.Block, Except: to.Except, Ports: to.Ports})
	case policy.TargetAny:
		if len(to.Ports) == 0 {
			r.All = true
		}
		r.Ports = append(r.Ports, to.Ports...)
	}
}

func redirectService(r *intent.Redirect, to *policy.Target, d *policy.Destination, at policy.Location) {
	for i := range d.Ports {
		port := &d.Ports[i]
		if !portIn(to.Ports, port.Port) {
			continue
		}
		served := servedAddresses(d, port, at)
		r.Addrs = append(r.Addrs, served...)
		for j := range port.Endpoints {
			r.Addrs = append(r.Addrs, port.Endpoints[j].Addr)
		}
		if !r.FailClosed {
			continue
		}
		for _, ip := range d.ClusterIPs {
			if a := netip.AddrPortFrom(ip, port.Port); !slices.Contains(served, a) {
				r.Unserved = append(r.Unserved, a)
			}
		}
	}
}
