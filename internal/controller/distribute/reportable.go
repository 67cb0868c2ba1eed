package distribute

import (
	"cmp"
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// reportable is what the agents of a node may report on: the destinations, policies and limits of the profiles that the node has. It is immutable,
// and small, since there is one for each node.
type reportable struct {
	sums     []*sum           // by key
	policies []*policyRollout // by ID; of these only the ID is read
	// limits that the cluster shares, by name: what the cluster may have; nil: none
	limits map[string]policy.Share
}

// sum returns the sum under a key, or nil if it is none of the node's.
func (r *reportable) sum(k trafficKey) *sum {
	i, found := slices.BinarySearchFunc(r.sums, k, func(s *sum, k trafficKey) int { return s.key.compare(k) })
	if !found {
		return nil
	}
	return r.sums[i]
}

// has reports whether the policy has a part in a profile of the node.
func (r *reportable) has(id policy.ID) bool {
	_, found := slices.BinarySearchFunc(r.policies, id, func(of *policyRollout, id policy.ID) int { return of.id.Compare(id) })
	return found
}

func (k trafficKey) compare(o trafficKey) int {
	return cmp.Or(k.policy.Compare(o.policy), cmp.Compare(k.target, o.target))
}

// reportableOn returns what the agents of a node may report on.
func (s *Store) reportableOn(nodeName string) *reportable {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeName]
	if n == nil {
		return &reportable{}
	}
	if n.reportable == nil {
		n.reportable = reportableOf(n.profiles)
	}
	return n.reportable
}

func reportableOf(profiles map[string]*profileUse) *reportable {
	r := &reportable{}
	for _, u := range profiles {
		for _, sum := range u.profile.keys {
			r.sums = append(r.sums, sum)
		}
		r.policies = append(r.policies, u.profile.policies...)
		if len(u.profile.limits) > 0 && r.limits == nil {
			r.limits = map[string]policy.Share{}
		}
		maps.Copy(r.limits, u.profile.limits)
	}
	slices.SortFunc(r.sums, func(a, b *sum) int { return a.key.compare(b.key) })
	slices.SortFunc(r.policies, func(a, b *policyRollout) int { return a.id.Compare(b.id) })
	r.sums, r.policies = slices.Clip(slices.Compact(r.sums)), slices.Clip(slices.Compact(r.policies))
	return r
}
