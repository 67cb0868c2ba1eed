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

// finish makes rules of the parts. Routes have their rules side by side: what one does not say is as if nothing was said, and not what another one
// says; in a policy rules inherit from the policy, so they say that expressly. unsaid is what holds of retries where nothing is said.
func (d *draft) finish(unsaid *v1alpha1.Retry) {
	for _, p := range d.parts {
		separate(&p.blocks, &d.body.CallBlocks, unsaid)
		if p.blocks != (v1alpha1.CallBlocks{}) {
			d.body.Rules = append(d.body.Rules, v1alpha1.Rule{Name: p.name, Match: p.matches, CallBlocks: p.blocks})
		}
	}
	d.parts = nil
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

// bySpecificity orders the parts as routes of the Gateway API are: of several that fit a request it is the most specific match that counts, while in a
// policy it is the first. What is said of several matches is said where each of them belongs.
func (d *draft) bySpecificity() {
	type one struct {
		of    int
		match v1alpha1.CallMatch
	}
	var all []one
	for i, p := range d.parts {
		for _, m := range p.matches {
			all = append(all, one{i, m})
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return compareMatches(&b.match, &a.match) })
	var out []part
	last := -1
	for _, o := range all {
		if o.of != last {
			p := d.parts[o.of]
			p.matches = nil
			out, last = append(out, p), o.of
		}
		out[len(out)-1].matches = append(out[len(out)-1].matches, o.match)
	}
	d.parts = out
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
