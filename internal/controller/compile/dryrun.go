package compile

import (
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// maxBindings is how many bindings agents take in one profile. What is enforced comes first.
const maxBindings = 4096

// dryRun returns the bindings that there would be if the dry runs among the policies acted: what calls would come under, beside which so
// many are enforced. They are in the order in which calls would find them. Where no dry run has a part in one, it says no more than that
// nothing would change.
//
// Nothing of them is done, so they refer to nothing: neither TLS nor a proxy changes how calls are made, and no secret travels for them.
func dryRun(policies []*Policy, enforced int) []policy.Binding {
	bindings := bindingsOf(policies)
	if len(bindings)+enforced > maxBindings {
		return nil // what is enforced must not be refused for it
	}
	dry := map[policy.ID]bool{}
	for _, p := range policies {
		dry[p.ID] = !p.Enforced()
	}
	for i := range bindings {
		b := &bindings[i]
		b.Mode, b.RejectQUIC, b.ForcedBreaker = policy.ModeDryRun, false, policy.ForcedBreaker{}
		b.To.TLS, b.To.Via = policy.TLS{}, policy.Via{}
		if own := slices.DeleteFunc(slices.Clone(b.Merged), func(id policy.ID) bool { return !dry[id] }); len(own) > 0 {
			b.Policy = reported(own)
			continue
		}
		b.Unchanged, b.Base, b.Rules = true, policy.Untouched(), nil
	}
	return bindings
}

// reported returns which of some policies, in order, their traffic is reported under: the caller's own, also where a cluster's override wins,
// since its owner looks there.
func reported(ids []policy.ID) (to policy.ID) {
	for _, id := range ids {
		if to.Name == "" || id.Kind == policy.KindRetryPolicy || to.Kind == policy.KindClusterRetryPolicy {
			to = id
		}
	}
	return to
}
