package compile

import (
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// merge is the outcome of merging some policies in order. Bindings share it.
type merge struct {
	name   string
	policy policy.ID
	ids    []policy.ID
	base   policy.Settings
	rules  []policy.Rule
	// rejectQUIC is policy.Binding.RejectQUIC
	rejectQUIC bool
}

// merge merges the policies of the targets that cover the port. Targets come least significant first; a policy with several counts
// where its most significant one is.
func (c *compiler) merge(covering []policyTarget, port uint16) *merge {
	var order []*Policy
	for i := len(covering) - 1; i >= 0; i-- {
		t := covering[i]
		if t.target.coversPort(port) && !contains(order, t.policy) {
			order = append([]*Policy{t.policy}, order...)
		}
	}
	names := make([]string, len(order))
	for i, p := range order {
		names[i] = p.ID.String()
	}
	key := strings.Join(names, "+")
	if m, ok := c.merges[key]; ok {
		return m
	}
	m := mergePolicies(key, order)
	c.merges[key] = m
	return m
}

func contains(list []*Policy, p *Policy) bool {
	for _, q := range list {
		if q == p {
			return true
		}
	}
	return false
}

func mergePolicies(name string, order []*Policy) *merge {
	m := &merge{name: name}
	bodies := make([]*v1alpha1.PolicyBody, len(order))
	for i, p := range order {
		bodies[i] = p.Body
		m.ids = append(m.ids, p.ID)
	}
	m.policy = reported(m.ids)
	body := merged(bodies...)
	m.base, m.rejectQUIC = settingsOf(body), body.UDP443 == v1alpha1.UDP443Reject
	m.rules = rulesOf(bodies)
	m.nameSharedLimits(bodies)
	return m
}

// rulesOf returns the rules in force after merging bodies in order, each complete. They are those of the last body that has any, and
// a part of it: what later bodies set replaces what its rules set, or a namespace could undo a cluster's override with a rule.
func rulesOf(bodies []*v1alpha1.PolicyBody) []policy.Rule {
	last := len(bodies) - 1
	for last >= 0 && (bodies[last] == nil || bodies[last].Rules == nil) {
		last--
	}
	if last < 0 {
		return nil
	}
	base, later := merged(bodies[:last+1]...), bodies[last+1:]
	var out []policy.Rule
	for i := range base.Rules {
		r := &base.Rules[i]
		patched := *base
		patched.CallBlocks = patchedBlocks(base.CallBlocks, r.CallBlocks)
		out = append(out, policy.Rule{
			Name:       r.Name,
			Match:      matchesOf(r.Match),
			Settings:   settingsOf(merged(append([]*v1alpha1.PolicyBody{&patched}, later...)...)),
			OwnBudget:  r.Retry != nil && r.Retry.Budget != nil,
			OwnBreaker: r.CircuitBreaker != nil,

			OwnRateLimit: r.RateLimit != nil, OwnConcurrency: r.Concurrency != nil,
			OwnHedging: r.Retry != nil && r.Retry.Hedging != nil, OwnAdaptive: r.Timeouts != nil && r.Timeouts.Adaptive != nil,
		})
	}
	return out
}
