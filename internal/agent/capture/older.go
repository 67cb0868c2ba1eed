package capture

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
	"fairlead.dev/fairlead/internal/policy"
)

// older lists the destinations of the pod's open connections that are older than what redirects them.
func (p *podCapture) older(r intent.Redirect) ([]netip.AddrPort, error) {
	o := &p.manager.options
	return o.countOlder(p.attached.ns, o.Mark, p.listeners.has(loopback6), r)
}

// olderConnections lists the destinations of the open connections in ns that r redirects and that are not redirected, once per connection:
// they were made before, or while there was no lease. Those that end in the pod are none, whoever has accepted them: the agent, or another
// proxy, whose own connections count. Nor are the agent's, which carry mark. It walks over all sockets of the node.
func olderConnections(ns *netns.Namespace, mark uint32, ipv6 bool, r intent.Redirect) ([]netip.AddrPort, error) {
	normal, err := r.Normal()
	if err != nil || normal.Empty() {
		return nil, err
	}
	var candidates []sockdiag.Flow
	accepted := make(map[netip.AddrPort]bool) // where connections come from that are redirected to somebody in the pod
	served := make(map[uint16]bool)           // ports at which the pod is called rather than calls
	err = sockdiag.Each(ns, sockdiag.Established|sockdiag.Listening, 0, func(s sockdiag.Socket) {
		switch {
		case !s.Established:
			served[s.From.Port()] = true
		case s.From.Addr().IsLoopback():
			accepted[s.To] = true
		case s.Mark != mark && s.From.Addr() != s.To.Addr() && (ipv6 || s.To.Addr().Is4()) && normal.Covers(s.To):
			candidates = append(candidates, s.Flow)
		}
	})
	var older []netip.AddrPort
	for _, f := range candidates {
		if !accepted[f.From] && !served[f.From.Port()] {
			older = append(older, f.To)
		}
	}
	return older, err
}

// maxOlderTo is how many destinations of older connections are named.
const maxOlderTo = 4

// someOf returns some of the destinations, each once, sorted.
func someOf(destinations []netip.AddrPort) []netip.AddrPort {
	all := slices.Clone(destinations)
	slices.SortFunc(all, netip.AddrPort.Compare)
	all = slices.Compact(all)
	return slices.Clip(all[:min(len(all), maxOlderTo)])
}

// attribute counts connections by the policies that they would come under, by their destinations.
func (s *PodSpec) attribute(older []netip.AddrPort) map[policy.ID]int {
	counts := make(map[policy.ID]int)
	if len(older) == 0 {
		return counts
	}
	governing := func(netip.AddrPort) []policy.ID { return s.Policies }
	if s.Claims != nil {
		governing = s.Claims().Governing
	}
	for _, to := range older {
		for _, id := range governing(to) {
			counts[id]++
		}
	}
	return counts
}

// Older counts the open connections of captured pods that no policy governs because they are older than the capture, by the policies that
// would govern them.
func (m *Manager) Older() map[policy.ID]int {
	all := make(map[policy.ID]int)
	for _, p := range m.podCaptures() {
		p.mu.Lock()
		older := p.status.findings.older
		p.mu.Unlock()
		for id, n := range older {
			all[id] += n
		}
	}
	return all
}
