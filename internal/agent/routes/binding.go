package routes

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Binding is one destination of a profile with the settings in force for it.
type Binding struct {
	source   *policy.Binding
	host     hostPattern
	services map[netip.AddrPort]service
	// clusterIPs and hostnames are those of a Service.
	clusterIPs []netip.Addr
	hostnames  []string
	// endpoints of a Service's ports that this node uses, of both families, by the name of the concrete destination
	endpoints map[string][]netip.AddrPort
	// affinity is policy.Destination.Affinity
	affinity time.Duration
	base     settings
	rules    []settings
	// forced is what somebody has said about the breakers by hand.
	forced resilience.Forced
	// backups are what its calls fall back on, each once; backup says that this one is such.
	backups []*Binding
	backup  bool
	// namesGRPC: a rule matches gRPC calls alone.
	namesGRPC bool
	// looksAtHeads: a rule goes by header fields or by the host.
	looksAtHeads bool
	recorder     Recorder // for all callers
	// client is who the agent is to hosts that it speaks TLS to, made of material; nil: it speaks TLS to none
	client   *tlslayer.Client
	material material

	// origin is what the binding was compiled from: source, or what that was made of for calls that nothing governs and a dry run looks at.
	origin *policy.Binding
	// would is what such calls would come under; nil: the binding is enforced, or would be itself.
	would *Binding
}

// service maps an address that belongs to a binding's Service to the destination it stands for.
type service struct {
	destination string // "namespace/name:port"
	direct      bool   // an endpoint's own address, not the cluster IP
}

// settings are a binding's base, or one of its rules.
type settings struct {
	name   string // of the rule; empty for the base
	match  []requestMatch
	values *policy.Settings
	backup *Binding // that calls fall back on; nil: on none
	// faults are injected into attempts, and opaqueFaults into those of connections that are passed through; nil: none.
	faults, opaqueFaults *call.Faults
	// ownBudget and the like: the rule keeps its own state.
	ownBudget, ownBreaker, ownRateLimit, ownConcurrency, ownAdaptive, ownHedging bool
}

// ID is the policy under which the binding's traffic is reported.
func (b *Binding) ID() policy.ID { return b.source.Policy }

// Target is the destination as the policy names it.
func (b *Binding) Target() *policy.Target { return &b.source.To }

// Key is policy.Binding.Key.
func (b *Binding) Key() string { return b.source.Key }

// Base are the settings of calls that no rule matches, and of connections that are not understood.
func (b *Binding) Base() *policy.Settings { return b.base.values }

// balancing is how endpoints are chosen.
func (b *Binding) balancing() upstream.Balancing {
	return upstream.Balancing{Policy: b.base.values.LoadBalancing, Affinity: b.affinity}
}

// Opaque reports whether the destination is declared to speak something that is passed through.
func (b *Binding) Opaque() bool {
	switch b.source.To.Protocol {
	case policy.ProtocolAuto, policy.ProtocolHTTP, policy.ProtocolHTTP2, policy.ProtocolGRPC:
		return false
	case policy.ProtocolTLS, policy.ProtocolTCP:
	}
	return true
}

// DeclaredHTTP1 reports whether the destination is declared to speak HTTP/1, so that nobody need find out.
func (b *Binding) DeclaredHTTP1() bool { return b.source.To.Protocol == policy.ProtocolHTTP }

// DeclaredHTTP2 reports whether the destination is declared to speak HTTP/2, be it for gRPC.
func (b *Binding) DeclaredHTTP2() bool {
	return b.source.To.Protocol == policy.ProtocolHTTP2 || b.source.To.Protocol == policy.ProtocolGRPC
}

// NeedsHost reports whether only a request can tell whether the binding governs it.
func (b *Binding) NeedsHost() bool { return b.source.To.Kind == policy.TargetHost }

// dynamic reports whether the concrete destinations of the binding come from traffic and so must be bounded.
func (b *Binding) dynamic() bool {
	return b.source.To.Kind != policy.TargetService
}

// byAddress reports whether the concrete destinations of the binding are addresses.
func (b *Binding) byAddress() bool {
	return b.source.To.Kind == policy.TargetAny || b.source.To.Kind == policy.TargetCIDR
}

// knows reports whether a concrete destination is one of the binding's: a Service may have lost a port, or be gone.
func (b *Binding) knows(destination string) bool {
	_, known := b.endpoints[destination]
	return known || b.dynamic()
}

// covers reports whether connections to an address can be governed by the binding, and names the concrete destination when it
// is known without a request.
func (b *Binding) covers(original netip.AddrPort) (c Candidate, ok bool) {
	to := &b.source.To
	c.Binding = b
	if to.Kind == policy.TargetService {
		s, found := b.services[original]
		c.destination, c.Pinned = s.destination, s.direct
		return c, found
	}
	c.Pinned = !b.throughProxy()
	if !portIn(to.Ports, original.Port()) {
		return c, false
	}
	switch to.Kind {
	case policy.TargetCIDR:
		return c, blockContains(to, original.Addr())
	case policy.TargetHost, policy.TargetAny, policy.TargetService:
	}
	return c, true
}

func blockContains(to *policy.Target, addr netip.Addr) bool {
	return to.Block.Contains(addr) && !slices.ContainsFunc(to.Except, func(e netip.Prefix) bool { return e.Contains(addr) })
}

// settingsFor returns the settings of a request and their place: 0 for the base, i+1 for rule i.
func (b *Binding) settingsFor(q *Request) int {
	for i := range b.rules {
		for j := range b.rules[i].match {
			if b.rules[i].match[j].matches(q) {
				return i + 1
			}
		}
	}
	return 0
}

func (b *Binding) at(i int) *settings {
	if i == 0 {
		return &b.base
	}
	return &b.rules[i-1]
}
