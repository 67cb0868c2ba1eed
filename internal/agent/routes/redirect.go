package routes

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/policy"
)

// Redirect says which of a pod's connections its policies may govern: as narrow as addresses and ports can tell.
type Redirect struct {
	Addrs      []netip.AddrPort
	Blocks     []Block
	Ports      []uint16
	All        bool
	FailClosed bool
}

// Block is an address block with holes, on some ports or all.
type Block struct {
	Prefix netip.Prefix
	Except []netip.Prefix
	Ports  []uint16
}

// defaultHostPorts are the ports of a target that names a host and no ports.
var defaultHostPorts = []uint16{80, 443}

// RedirectFor computes what has to come to the agent so that the profile can be enforced. Bindings that are not enforced ask
// for nothing, and neither do Services without endpoints: a connection to them must fail as it does without us.
func RedirectFor(p *policy.Profile, destinations map[string]*policy.Destination, at policy.Location) Redirect {
	r := Redirect{FailClosed: p.FailClosed}
	for i := range p.Bindings {
		if b := &p.Bindings[i]; b.Mode == policy.ModeEnforce {
			r.add(&b.To, destinations, at)
		}
	}
	return r
}

func (r *Redirect) add(to *policy.Target, destinations map[string]*policy.Destination, at policy.Location) {
	switch to.Kind {
	case policy.TargetService:
		if d := destinations[to.Service]; d != nil {
			r.addService(to, d, at)
		}
	case policy.TargetHost:
		ports := to.Ports
		if len(ports) == 0 {
			ports = defaultHostPorts
		}
		r.Ports = append(r.Ports, ports...)
	case policy.TargetCIDR:
		r.Blocks = append(r.Blocks, Block{Prefix: to.Block, Except: to.Except, Ports: to.Ports})
	case policy.TargetAny:
		if len(to.Ports) == 0 {
			r.All = true
		}
		r.Ports = append(r.Ports, to.Ports...)
	}
}

func (r *Redirect) addService(to *policy.Target, d *policy.Destination, at policy.Location) {
	for i := range d.Ports {
		port := &d.Ports[i]
		if !portIn(to.Ports, port.Port) {
			continue
		}
		r.Addrs = append(r.Addrs, servedAddresses(d, port, at)...)
		for j := range port.Endpoints {
			r.Addrs = append(r.Addrs, port.Endpoints[j].Addr)
		}
	}
}
