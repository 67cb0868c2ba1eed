package indextest

import (
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// Expected returns what agents should have of the world, worked out from scratch, one pod after the other and without an index. It knows no
// history: policies must not conflict, and name no Service that is gone.
func (w *World) Expected() *Published {
	return w.ExpectedOf(func(policy.ID, string) *compile.Source { return nil })
}

// ExpectedOf is Expected where nodes have other versions of policies than those of the world: those that version returns, if it is not nil.
func (w *World) ExpectedOf(version func(id policy.ID, node string) *compile.Source) *Published {
	out := NewPublished()
	for _, p := range w.Pods {
		if members, suffix := w.governing(&p, version); len(members) > 0 {
			w.govern(out, &p, members, suffix)
		}
	}
	return out
}

// governing returns the policies that act on a pod's calls or are dry runs of it, by ID, and what keeps the name of their profile apart from that of
// other versions of theirs.
func (w *World) governing(p *index.Pod, version func(policy.ID, string) *compile.Source) (out []*compile.Policy, suffix string) {
	if p.HostNetwork || !p.Running || p.Namespace == Exempt {
		return nil, ""
	}
	for id, current := range w.Policies {
		src := current.Source
		if other := version(id, p.Node); other != nil {
			src, suffix = *other, "@"+p.Node
		}
		c, problems := compile.Read(src, w.Service, w.Reference)
		if len(problems) > 0 || c.Mode == v1alpha1.ModeDisabled || !c.Pods.Matches(p.Labels) {
			continue
		}
		if c.Namespaces == nil && src.ID.Namespace != p.Namespace {
			continue
		}
		if l, exists := w.Namespaces[p.Namespace]; c.Namespaces != nil && (!exists || !c.Namespaces.Matches(l)) {
			continue
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *compile.Policy) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return out, suffix
}

// govern publishes a pod, its profile and the destinations of that.
func (w *World) govern(out *Published, p *index.Pod, members []*compile.Policy, suffix string) {
	namespace := ""
	var ids []policy.ID
	for _, c := range members {
		ids = append(ids, c.ID)
		if c.Relative() {
			namespace = p.Namespace
		}
	}
	local := make([]*compile.Policy, len(members))
	for i, c := range members {
		local[i] = c.In(namespace, w.Service)
	}
	profile := compile.Compile(compile.ProfileName(namespace, ids)+suffix, local)
	out.SetProfile(profile)
	owner := policy.Owner{Kind: "Pod", Name: p.Name}
	if p.Owner != nil {
		owner = *p.Owner
	}
	out.SetWorkload(p.Node, &policy.Workload{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, Profile: profile.Name, Zone: w.Zones[p.Node], Owner: owner})
	for _, name := range profile.Services() {
		if d, ok := w.Destination(name); ok {
			out.SetDestination(d)
		}
	}
}
