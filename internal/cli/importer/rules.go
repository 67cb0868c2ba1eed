package importer

import (
	"cmp"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// part is a rule of a route: what fits it, and what it says.
type part struct {
	name    string
	matches []v1alpha1.CallMatch
	blocks  v1alpha1.CallBlocks
	unsaid  *v1alpha1.Retry // of its route
}

// addPart adds a rule of a route. One that every request fits is the policy's own settings.
func (d *draft) addPart(p part, every bool) {
	if every {
		d.body.CallBlocks = p.blocks
	}
	if len(p.matches) > 0 {
		d.parts = append(d.parts, p)
	}
}

// rulesOf makes rules of the parts of routes. Routes have their rules side by side: what one does not say is as if nothing was said, and not what another one
// says; in a policy rules inherit from the policy, so they say that expressly. One that says nothing at all is kept where another comes after it, which would
// be for its requests otherwise.
func rulesOf(routes []draft) (rules []v1alpha1.Rule) {
	var bodies []v1alpha1.PolicyBody
	for i := range routes {
		bodies = append(bodies, routes[i].body)
	}
	base := mergeBodies(bodies...).CallBlocks
	all := partsOf(routes)
	for i := len(all) - 1; i >= 0; i-- {
		p := &all[i]
		separate(&p.blocks, &base, p.unsaid)
		if p.blocks == (v1alpha1.CallBlocks{}) {
			if len(rules) == 0 {
				continue
			}
			p.blocks.Retry = p.unsaid.DeepCopy()
		}
		rules = append(rules, v1alpha1.Rule{Name: p.name, Match: p.matches, CallBlocks: p.blocks})
	}
	slices.Reverse(rules)
	return rules
}

// partsOf are the parts of routes, in the order in which they count.
func partsOf(routes []draft) (all []part) {
	specific := false
	for i := range routes {
		specific = specific || routes[i].specific
		for _, p := range routes[i].parts {
			p.unsaid = routes[i].unsaid
			all = append(all, p)
		}
	}
	if specific {
		return bySpecificity(all)
	}
	return all
}

// noLimit is the duration that means that there is no limit.
const noLimit = v1alpha1.Duration("0s")

func separate(rule, base *v1alpha1.CallBlocks, unsaid *v1alpha1.Retry) {
	if b := base.Timeouts; b != nil {
		t := v1alpha1.Timeouts{}
		if rule.Timeouts != nil {
			t = *rule.Timeouts
		}
		for _, f := range []struct{ own, base *v1alpha1.Duration }{{&t.Overall, &b.Overall}, {&t.PerTry, &b.PerTry}, {&t.Idle, &b.Idle}} {
			if *f.base != "" && *f.own == "" {
				*f.own = noLimit
			}
		}
		rule.Timeouts = &t
	}
	b := base.Retry
	switch {
	case b == nil:
		return
	case rule.Retry == nil:
		rule.Retry = unsaid.DeepCopy()
	}
	r := rule.Retry
	if r.MaxRetries != nil && *r.MaxRetries == 0 {
		return
	}
	if b.When != nil && r.When == nil {
		r.When = []v1alpha1.RetryCondition{}
	}
	if b.StatusCodes != nil && r.StatusCodes == nil {
		r.StatusCodes = []v1alpha1.StatusCode{}
	}
	if b.GRPCStatuses != nil && r.GRPCStatuses == nil {
		r.GRPCStatuses = []v1alpha1.GRPCStatus{}
	}
	if b.Backoff != nil && r.Backoff == nil {
		r.Backoff = &v1alpha1.Backoff{InitialInterval: "25ms"} // fairlead's own default
	}
}

// bySpecificity orders parts as routes of the Gateway API are: of several that fit a request it is the most specific match that counts, while in a
// policy it is the first. What is said of several matches is said where each of them belongs.
func bySpecificity(parts []part) (out []part) {
	type one struct {
		of    int
		match v1alpha1.CallMatch
	}
	var all []one
	for i, p := range parts {
		for _, m := range p.matches {
			all = append(all, one{i, m})
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return compareMatches(&b.match, &a.match) })
	last := -1
	for _, o := range all {
		if o.of != last {
			p := parts[o.of]
			p.matches = nil
			out, last = append(out, p), o.of
		}
		out[len(out)-1].matches = append(out[len(out)-1].matches, o.match)
	}
	return out
}

// compareMatches orders the less specific match first: by the path, then by the method, then by how many header fields.
func compareMatches(a, b *v1alpha1.CallMatch) int {
	kind, length := pathRank(a)
	otherKind, otherLength := pathRank(b)
	return cmp.Or(cmp.Compare(kind, otherKind), cmp.Compare(length, otherLength), cmp.Compare(len(a.Methods), len(b.Methods)), cmp.Compare(len(a.Headers), len(b.Headers)))
}

func pathRank(m *v1alpha1.CallMatch) (kind, length int) {
	switch {
	case m.GRPC != nil:
		return 0, 1024*min(len(m.GRPC.Service), 1) + len(m.GRPC.Service) + 512*min(len(m.GRPC.Method), 1)
	case m.Path == nil:
		return 0, 0
	case m.Path.Type == v1alpha1.PathExact:
		return 3, len(m.Path.Value)
	case m.Path.Type == v1alpha1.PathRegularExpression:
		return 2, len(m.Path.Value)
	}
	return 1, len(strings.TrimRight(m.Path.Value, "/"))
}
