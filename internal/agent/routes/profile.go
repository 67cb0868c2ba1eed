package routes

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// profile is a policy.Profile compiled together with the destinations that it names. It is immutable and shared by the pods
// that use it.
type profile struct {
	source   *policy.Profile
	at       policy.Location     // where it was compiled for
	born     uint64              // the Install that brought source; the greater, the newer
	needs    [][]need            // what its bindings refer to, in order
	bindings []*Binding          // the enforced ones
	dryRuns  []*Binding          // what else calls would come under, in order; see compileDryRun
	byKey    map[string]*Binding // those that govern calls, if only to be looked at
}

// need is what a target refers to, as a snapshot has it.
type need struct {
	destination *policy.Destination // nil: none, or it is not known
	material    material
}

// needsOf returns what the targets of a binding refer to: its own first, then those that its calls fall back on.
func (n *installation) needsOf(b *policy.Binding) []need {
	needs := []need{{n.Destinations[b.To.Service], n.material(&b.To)}}
	for to := range b.Backups {
		needs = append(needs, need{destination: n.Destinations[to.Service]})
	}
	return needs
}

// errNothing is the reason to refuse a profile that says nothing understandable.
var errNothing = errors.New("the profile has no name")

// compileProfile compiles p. What old has of it already, which may be nil, is used again: what it governs need not be looked through.
func (s *Table) compileProfile(p *policy.Profile, old *profile, next *installation) (*profile, error) {
	if p.Name == "" {
		return nil, errNothing
	}
	c := &profile{source: p, at: next.at, byKey: make(map[string]*Binding, len(p.Bindings))}
	for i := range p.Bindings {
		source := &p.Bindings[i]
		needs := next.needsOf(source)
		c.needs = append(c.needs, needs)
		if source.Mode == policy.ModeDisabled {
			continue
		}
		b := old.unchanged(i, source, needs, next.at)
		if b == nil {
			var err error
			if b, err = s.compileNew(source, needs[0], old, next); err != nil {
				return nil, fmt.Errorf("binding %s: %w", source.Key, err)
			}
		}
		c.add(b)
	}
	return c, nil
}

// compileNew compiles a binding, and gives it what old has for its key.
func (s *Table) compileNew(source *policy.Binding, n need, old *profile, next *installation) (*Binding, error) {
	if source.Mode == policy.ModeDryRun {
		return s.compileDryRun(source, n.destination, next)
	}
	b, err := s.compileWhole(source, n, old, next)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	b.force(now, old.binding(source.Key), s.ends)
	b.inject(now, s.ends)
	return b, nil
}

// add adds the next binding.
func (c *profile) add(b *Binding) {
	switch {
	case b.origin.Mode == policy.ModeEnforce:
		c.bindings = append(c.bindings, b)
	case b.origin.Unchanged:
		c.dryRuns = append(c.dryRuns, b)
		return
	default:
		c.dryRuns = append(c.dryRuns, b)
	}
	c.byKey[b.Key()] = b
	for _, to := range b.backups {
		c.byKey[to.Key()] = to
	}
}

// compileWhole compiles a binding, with what its calls fall back on.
func (s *Table) compileWhole(source *policy.Binding, n need, old *profile, next *installation) (*Binding, error) {
	b, err := s.compileOne(source, n, old, next)
	if err != nil {
		return nil, err
	}
	return b, s.compileBackups(b, old, next)
}

// compileOne compiles a binding by itself.
func (s *Table) compileOne(source *policy.Binding, n need, old *profile, next *installation) (*Binding, error) {
	b, err := next.compileBinding(source, n.destination)
	if err != nil {
		return nil, err
	}
	b.recorder = s.observer.Recorder(source.Policy, source.To.String())
	return b, b.secure(n.material, old.binding(source.Key))
}

// unchanged returns the binding that was compiled from exactly these sources, or nil.
func (c *profile) unchanged(i int, source *policy.Binding, needs []need, at policy.Location) *Binding {
	if c == nil || c.at != at || i >= len(c.needs) || !slices.Equal(c.needs[i], needs) {
		return nil
	}
	if b := c.byKey[source.Key]; b != nil && b.origin == source {
		return b
	}
	return nil
}

// binding returns the binding of a key that governs calls, or nil. c may be nil.
func (c *profile) binding(key string) *Binding {
	if c == nil {
		return nil
	}
	return c.byKey[key]
}

// current reports whether the profile was compiled from exactly these sources.
func (c *profile) current(p *policy.Profile, next *installation) bool {
	if c.source != p || c.at != next.at || len(c.needs) != len(p.Bindings) {
		return false
	}
	for i := range p.Bindings {
		if !slices.Equal(c.needs[i], next.needsOf(&p.Bindings[i])) {
			return false
		}
	}
	return true
}

func (n *installation) compileBinding(source *policy.Binding, destination *policy.Destination) (*Binding, error) {
	b := &Binding{source: source, origin: source, base: settings{values: &source.Base}}
	switch source.To.Kind {
	case policy.TargetService:
		b.indexService(destination, n)
	case policy.TargetHost:
		b.host = compileHost(source.To.Host)
	case policy.TargetCIDR:
		if !source.To.Block.IsValid() {
			return nil, errors.New("the address block is not valid")
		}
	case policy.TargetAny:
	default:
		return nil, fmt.Errorf("target kind %d is not known", source.To.Kind)
	}
	for i := range source.Rules {
		r := &source.Rules[i]
		s := settings{
			name: r.Name, values: &r.Settings, ownBudget: r.OwnBudget, ownBreaker: r.OwnBreaker,
			ownRateLimit: r.OwnRateLimit, ownConcurrency: r.OwnConcurrency, ownAdaptive: r.OwnAdaptive, ownHedging: r.OwnHedging,
		}
		for j := range r.Match {
			m, err := compileMatch(&r.Match[j])
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", r.Name, err)
			}
			s.match = append(s.match, m)
			b.namesGRPC = b.namesGRPC || m.kind == policy.PathGRPC
			b.looksAtHeads = b.looksAtHeads || m.host != nil || len(m.headers) > 0
		}
		b.rules = append(b.rules, s)
	}
	return b, nil
}

// indexService maps every address of the Service that the binding covers.
func (b *Binding) indexService(d *policy.Destination, n *installation) {
	b.services = map[netip.AddrPort]service{}
	b.endpoints = map[string][]netip.AddrPort{}
	if d == nil {
		return
	}
	b.clusterIPs, b.hostnames, b.affinity = d.ClusterIPs, d.Hostnames, d.Affinity
	for i := range d.Ports {
		port := &d.Ports[i]
		if !portIn(b.source.To.Ports, port.Port) {
			continue
		}
		name := d.Name + ":" + strconv.Itoa(int(port.Port))
		b.endpoints[name] = n.usable(d, port)
		for j := range port.Endpoints { // of all nodes: clients may call any of them by its own address
			e := port.Endpoints[j].Addr
			if _, taken := b.services[e]; !taken {
				b.services[e] = service{destination: name, direct: true}
			}
		}
		// All of them: where a less specific binding has connections redirected to a Service without endpoints, the Service's
		// own still governs them.
		for _, ip := range d.ClusterIPs {
			b.services[netip.AddrPortFrom(ip, port.Port)] = service{destination: name}
		}
	}
}

// servedAddresses returns the cluster addresses of a Service's port behind which there are endpoints for this node. Where there are none
// the cluster refuses or drops connections by itself, and so it does where all endpoints are of the other family: an address of another
// family is no substitute.
func servedAddresses(d *policy.Destination, port *policy.DestinationPort, at policy.Location) (served []netip.AddrPort) {
	for _, ip := range d.ClusterIPs {
		if d.Serves(port, at, ip) {
			served = append(served, netip.AddrPortFrom(ip, port.Port))
		}
	}
	return served
}

func portIn(ports []uint16, port uint16) bool { return len(ports) == 0 || slices.Contains(ports, port) }
