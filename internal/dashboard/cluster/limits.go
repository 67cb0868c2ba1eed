package cluster

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

// limitKey is what is one limit over all nodes.
type limitKey struct{ policy, target, rule, kind, scope string }

// mergeLimits puts together what agents say of the limits of a destination.
func mergeLimits(answers []liveapi.List[liveapi.Limit], name string) []model.Limit {
	all := map[limitKey]*model.Limit{}
	for i := range answers {
		for _, l := range answers[i].Items {
			if l.Destination != name {
				continue
			}
			k := limitKey{l.Policy, l.Target, l.Rule, l.Kind, l.Scope}
			of := all[k]
			if of == nil {
				of = &model.Limit{Policy: l.Policy, Target: l.Target, Rule: l.Rule, Kind: l.Kind, Scope: l.Scope, Adaptive: l.Adaptive}
				all[k] = of
			}
			of.Max = max(of.Max, l.Max)
			of.Waiting += l.Waiting
			of.InUse += l.InUse
			of.Shares = append(of.Shares, model.Share{Node: answers[i].Node, Pod: l.Pod, Max: l.Here, Waiting: l.Waiting, InUse: l.InUse})
		}
	}
	out := make([]model.Limit, 0, len(all))
	for _, l := range all {
		slices.SortFunc(l.Shares, func(a, b model.Share) int {
			return cmp.Or(cmp.Compare(b.Max, a.Max), cmp.Compare(b.InUse, a.InUse), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod))
		})
		if left := len(l.Shares) - maxShares; left > 0 {
			l.LeftOut, l.Shares = left, l.Shares[:maxShares]
		}
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b model.Limit) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}
