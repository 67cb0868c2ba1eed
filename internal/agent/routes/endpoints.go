package routes

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// endpointsFor returns what judges the endpoints of the route's calls under settings whose breaker is for each by itself, or nil: where there are none
// that could stand in for each other, nobody does, nor in a dry run, which chooses none.
func (e *entry) endpointsFor(of versions, b *Binding, i int, opaque bool) *resilience.Endpoints {
	if e.state.key.shadow {
		return nil
	}
	_, named := b.nameOf(e.state.key.destination)
	if b.throughProxy() || b.source.To.Kind != policy.TargetService && !named {
		return nil
	}
	return e.state.endpointsOf(of, b, i, breakerKey{pod: e.pod, opaque: opaque})
}

// endpointsOf is like breaker for a breaker of each endpoint.
func (st *state) endpointsOf(versions versions, b *Binding, i int, k breakerKey) *resilience.Endpoints {
	k, cfg, limit := versions.breakerOf(b.at(i), k)
	if cfg == nil || cfg.Scope != policy.ScopeEndpoint {
		return nil
	}
	es := st.endpoints[k]
	if es == nil {
		es = resilience.NewEndpoints(cfg, time.Now(), rand.Float64)
		es.Reconfigure(cfg, limit)
		es.Force(time.Now(), versions.forcedEndpoints())
		es.SetMembers(time.Now(), st.members()...)
		st.endpoints[k] = es
	}
	return es
}

// breakerOf returns where the breaker of settings is kept and what it goes by, as the versions say; cfg is nil where they have none.
func (v versions) breakerOf(s *settings, k breakerKey) (_ breakerKey, cfg *policy.Breaker, limit time.Duration) {
	if s.values.Breaker == nil {
		return k, nil, 0
	}
	if s.ownBreaker {
		k.rule = s.name
	}
	cfg, limit = v.breaker(k.rule)
	if cfg.Sharing != policy.SharePod {
		k.pod = ""
	}
	return k, cfg, limit
}

// members are the endpoints that calls to the destination may go to, in groups that can stand in for each other.
func (st *state) members() [][]netip.AddrPort {
	groups, ofName := st.cluster.Endpoints()
	if !ofName {
		return groups[:]
	}
	port := st.key.way.Port // 0: that of the name's addresses, which is what the pod calls
	if port == 0 {
		return groups[:1]
	}
	all := make([]netip.AddrPort, 0, len(groups[0]))
	for _, a := range groups[0] {
		all = append(all, netip.AddrPortFrom(a.Addr(), port))
	}
	return [][]netip.AddrPort{all}
}

// setMembers tells those who judge endpoints which there are.
func (st *state) setMembers() {
	if len(st.endpoints) == 0 {
		return
	}
	now, members := time.Now(), st.members()
	for _, es := range st.endpoints {
		es.SetMembers(now, members...)
	}
}

// reconfigureEndpoints puts new versions' breakers of endpoints in force, and drops those that are no more.
func (st *state) reconfigureEndpoints(versions versions) {
	for k, es := range st.endpoints {
		cfg, limit := versions.breaker(k.rule)
		if cfg == nil || cfg.Scope != policy.ScopeEndpoint || (cfg.Sharing == policy.SharePod) != (k.pod != "") {
			delete(st.endpoints, k)
			continue
		}
		es.Reconfigure(cfg, limit)
		es.Force(time.Now(), versions.forcedEndpoints())
	}
	st.setMembers()
}

// RefreshOthers has the addresses of the route's name looked up, if one of those that are known is out or would be if there were others. That is not
// waited for: a later call finds what it has found.
func (r *Route) RefreshOthers(now time.Time, es *resilience.Endpoints) {
	if es == nil || !r.HasName() || !es.Wanting() && !es.Differ(now) || r.KnowsAddresses(now) {
		return
	}
	r.FindAddresses(ended)
}
