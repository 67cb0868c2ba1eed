package routes

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// What calls fall back on is a binding of its own, which governs nothing that is captured: so it has pools, breakers and all else that a destination
// has. Its settings are those of the binding whose calls they are, as far as they are about one attempt.

// compileBackups makes the bindings that the calls of b fall back on.
func (s *Table) compileBackups(b *Binding, old *profile, next *installation) error {
	for i := range len(b.rules) + 1 {
		set := b.at(i)
		f := set.values.Fallback
		if f == nil || f.Destination == nil {
			continue
		}
		source := backupSource(b.source, f.Destination)
		at := slices.IndexFunc(b.backups, func(o *Binding) bool { return o.Key() == source.Key })
		if at < 0 {
			to, err := s.compileOne(source, need{next.Destinations[f.Destination.Service], next.material(&source.To)}, old, next)
			if err != nil {
				return err
			}
			to.backup = true
			at, b.backups = len(b.backups), append(b.backups, to)
		}
		set.backup = b.backups[at]
	}
	return nil
}

// backupSource is the binding of what calls of another one fall back on. A host is called as the target of that is: over TLS that the agent speaks,
// with the same trust and client certificate, and through the same proxy. A Service is called in the clear, by the pod.
func backupSource(of *policy.Binding, to *policy.Target) *policy.Binding {
	b := &policy.Binding{
		Key: of.Key + " else " + to.String() + portsKey(to.Ports), Policy: of.Policy, Mode: of.Mode, To: *to, Base: oneAttempt(&of.Base),
		Rules: slices.Clone(of.Rules),
	}
	b.To.Protocol = of.To.Protocol
	if to.Kind == policy.TargetHost {
		b.To.TLS, b.To.Via = of.To.TLS, of.To.Via
		b.To.TLS.ServerName, b.To.TLS.Port = "", 0
	}
	for i := range b.Rules {
		b.Rules[i].Settings = oneAttempt(&b.Rules[i].Settings)
	}
	return b
}

// oneAttempt leaves out what is about calls. The breaker is the node's own, since the manager knows none of what calls fall back on.
func oneAttempt(s *policy.Settings) policy.Settings {
	only := *s
	only.Fallback, only.RateLimit, only.Concurrency, only.Faults, only.Retry.Hedging = nil, nil, nil, nil, policy.Hedging{}
	if b := s.Breaker; b != nil && b.Sharing == policy.ShareCluster {
		own := *b
		own.Sharing, only.Breaker = policy.ShareNode, &own
	}
	return only
}

func portsKey(ports []uint16) string {
	if len(ports) == 0 {
		return ""
	}
	return ":" + strconv.Itoa(int(ports[0]))
}

// portOf returns the port of a concrete destination.
func portOf(destination string) (uint16, bool) {
	port, err := strconv.ParseUint(destination[strings.LastIndexByte(destination, ':')+1:], 10, 16)
	return uint16(port), err == nil
}

// backupDestination names what calls to a destination of b fall back on; ok is false where that has no such port.
func (b *Binding) backupDestination(to *Binding, destination string) (name string, ok bool) {
	target := &to.source.To
	port, ok := portOf(destination)
	switch {
	case len(target.Ports) > 0:
		port, ok = target.Ports[0], true
	case target.Kind == policy.TargetHost && b.source.To.TLS.Port != 0:
		port = b.source.To.TLS.Port
	}
	if target.Kind == policy.TargetHost {
		return hostDestination([]byte(target.Host), port), ok
	}
	name = target.Service + ":" + strconv.Itoa(int(port))
	return name, ok && to.knows(name)
}

// backUp gives the plans of a route, which nobody has yet, what their calls fall back on.
func (s *Table) backUp(t *PodRoutes, c *Candidate, r *Route, destination string) error {
	beside := 1 // plans for each of the settings
	if r.shadow != nil {
		beside = len(r.shadow.rules) + 1
	}
	for i := range r.plans {
		to := c.at(i / beside).backup
		if to == nil {
			continue
		}
		name, ok := c.backupDestination(to, destination)
		if !ok {
			continue
		}
		on := Candidate{Binding: to, destination: name, intercepted: c.intercepted && to.Intercepts()}
		b, err := t.Route(&on, nil, netip.AddrPort{})
		if err != nil {
			return err
		}
		p := &r.plans[i]
		p.Backup = b
		p.Fallback = &call.Fallback{On: p.Settings.Fallback.On, Plan: &b.plans[i/beside].Plan}
		if !slices.Contains(r.backups, b) {
			r.backups = append(r.backups, b)
		}
	}
	return nil
}

// Address is where calls of a backup's route are going, if nothing else is known: for a Service a cluster IP, of the family that the client called if
// there is one. A host's addresses are looked up: for that it is not valid.
func (r *Route) Address(called netip.Addr) netip.AddrPort {
	port, ok := portOf(r.entry.key.destination)
	if !ok || r.source.To.Kind != policy.TargetService {
		return netip.AddrPort{}
	}
	all := make([]netip.AddrPort, 0, 2)
	for _, ip := range r.clusterIPs {
		all = append(all, netip.AddrPortFrom(ip, port))
	}
	if all = append(all, r.endpoints[r.entry.key.destination]...); len(all) == 0 {
		return netip.AddrPort{}
	}
	if i := slices.IndexFunc(all, func(a netip.AddrPort) bool { return a.Addr().Is4() == called.Unmap().Is4() }); i >= 0 {
		return all[i]
	}
	return all[0]
}

// Authority is what requests on the route name as their host: that of a host that they fall back on; empty: what their client names. It is what
// Envoy's auto_host_rewrite does: a Service's endpoints are called as the client has, and a host by its own name, which decides there what is served.
func (r *Route) Authority() string { return r.authority }

// authorityOf returns Route.Authority.
func (b *Binding) authorityOf(destination string, secured bool) string {
	if !b.backup || b.source.To.Kind != policy.TargetHost {
		return ""
	}
	if port, _ := portOf(destination); secured && port == 443 || !secured && port == 80 {
		return hostOf(destination)
	}
	return destination
}

// byName reports whether calls go to addresses of a name that are looked up, wherever their client was going.
func (b *Binding) byName() bool {
	return b.throughProxy() || b.backup && b.source.To.Kind == policy.TargetHost
}
