package routes

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// DestinationState is how the endpoints of one concrete destination stand, for whoever looks into an agent.
type DestinationState struct {
	Policy      policy.ID
	Destination string
	// Hosts are the endpoints of a Service.
	Hosts []upstream.HostState
	// Judged are the endpoints that have breakers of their own (circuitBreaker.scope: Endpoint), as far as calls have gone to them.
	Judged []JudgedEndpoint
}

// JudgedEndpoint is how the breaker of an endpoint stands.
type JudgedEndpoint struct {
	Address netip.AddrPort
	State   string
	Since   time.Time // when it left the closed state
	Until   time.Time // while it is open: when the first probe may go there
	// Weight is the part of its share of the calls that it gets.
	Weight float64
	// Ejections counts how often it was put out.
	Ejections uint64
	// Rule and Pod say whose calls feed and obey the breaker, if not all, and Opaque that they are connections that are passed through.
	Rule, Pod string
	Opaque    bool
}

// Endpoints returns the states of all destinations with endpoints, ordered.
func (s *Table) Endpoints(now time.Time) []DestinationState {
	all, clusters, judges := s.judges()
	for i := range all {
		all[i].Hosts = clusters[i].Hosts(now)
		for k, es := range judges[i] {
			for _, ep := range es.Status(now).Used {
				all[i].Judged = append(all[i].Judged, JudgedEndpoint{
					Address: ep.Addr, State: ep.State.String(), Since: ep.Since, Until: ep.Until, Weight: ep.Weight, Ejections: ep.Opened,
					Rule: k.rule, Pod: k.pod, Opaque: k.opaque,
				})
			}
		}
		slices.SortFunc(all[i].Judged, func(a, b JudgedEndpoint) int {
			return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Pod, b.Pod))
		})
	}
	all = slices.DeleteFunc(all, func(d DestinationState) bool { return len(d.Hosts) == 0 && len(d.Judged) == 0 })
	slices.SortFunc(all, func(a, b DestinationState) int {
		return cmp.Or(cmp.Compare(a.Policy.String(), b.Policy.String()), cmp.Compare(a.Destination, b.Destination))
	})
	return all
}

// judges lists what there is, without looking into it: calls wait for the lock.
func (s *Table) judges() (all []DestinationState, clusters []*upstream.Cluster, judges []map[breakerKey]*resilience.Endpoints) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for binding, states := range s.states.all {
		of := s.bindings[binding]
		if len(of) == 0 {
			continue // removed just now
		}
		for k, st := range states {
			if k.shadow {
				continue
			}
			all = append(all, DestinationState{Policy: of[0].ID(), Destination: k.destination})
			clusters, judges = append(clusters, st.cluster), append(judges, maps.Clone(st.endpoints))
		}
	}
	return all, clusters, judges
}
