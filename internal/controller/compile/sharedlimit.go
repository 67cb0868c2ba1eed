package compile

import (
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// limitOrigin says which policies wrote how much a rate limit lets start. A limit that the cluster shares belongs to them: pods share it that get
// it from the same ones, whatever else is merged for them; and what the same ones wrote is the same limit.
type limitOrigin struct {
	requests, per, burst string
}

// add notes what a policy writes over what those before it wrote, as patchBlock merges it.
func (o *limitOrigin) add(id policy.ID, l *v1alpha1.RateLimit) {
	if l == nil {
		return
	}
	if l.Mode == v1alpha1.SwitchDisabled {
		*o = limitOrigin{}
		return
	}
	for _, f := range []struct {
		of  *string
		set bool
	}{{&o.requests, l.Requests != nil}, {&o.per, l.Per != ""}, {&o.burst, l.Burst != nil}} {
		if f.set {
			*f.of = id.String()
		}
	}
}

// name names the limit. A rule that writes a limit has one of its own, and so has every policy whose rule it is.
func (o *limitOrigin) name(rule string) string {
	ids := []string{o.requests, o.per, o.burst}
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == "" })
	name := strings.Join(ids, "+")
	if rule != "" {
		name += " rule " + rule
	}
	return boundName(name)
}

// nameSharedLimits names the limits of a merge that the cluster shares.
func (m *merge) nameSharedLimits(bodies []*v1alpha1.PolicyBody) {
	var base limitOrigin
	ruled := -1 // the policy whose rules are in force, see rulesOf
	for i, b := range bodies {
		if b != nil {
			base.add(m.ids[i], b.RateLimit)
			if b.Rules != nil {
				ruled = i
			}
		}
	}
	nameShared(m.base.RateLimit, base.name(""))
	for i := range m.rules {
		r := &m.rules[i]
		if !r.OwnRateLimit {
			nameShared(r.Settings.RateLimit, base.name(""))
			continue
		}
		var own limitOrigin
		for j, b := range bodies {
			if b != nil {
				own.add(m.ids[j], b.RateLimit)
			}
			if j == ruled {
				own.add(m.ids[j], b.Rules[i].RateLimit)
			}
		}
		nameShared(r.Settings.RateLimit, own.name(m.ids[ruled].String()+" "+r.Name))
	}
}

func nameShared(l *policy.RateLimit, name string) {
	if l != nil && l.Scope == policy.ShareCluster {
		l.Shared = name
	}
}
