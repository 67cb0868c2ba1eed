package controller

import (
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// outbox takes changes for agents.
type outbox interface {
	SetWorkload(node string, w *policy.Workload)
	RemoveWorkload(uid string)
	SetProfile(p *policy.Profile, others ...policy.ID)
	RemoveProfile(name string)
	SetDestination(d *policy.Destination)
	RemoveDestination(name string)
}

var _ outbox = (*distribute.Batch)(nil)

// flush draws what changed, adds the changes to b, and returns the policies whose status may have changed. The caller publishes b and
// says so with published.
func (x *index) flush(b outbox) []policy.ID {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settlePending()
	for name := range x.changes.profiles {
		x.flushProfile(b, name)
	}
	for name := range x.changes.destinations {
		x.flushDestination(b, name)
	}
	for uid, p := range x.changes.workloads {
		if p == nil {
			b.RemoveWorkload(string(uid))
			continue
		}
		x.zones[p.Node] = x.facts.Zone(p.Node)
		b.SetWorkload(p.Node, &policy.Workload{
			UID: string(uid), Namespace: p.Namespace, Name: p.Name, Profile: p.profile.name, Zone: x.zones[p.Node],
		})
	}
	x.handedOut = x.changes.statuses
	x.changes.reset()
	return slices.Collect(maps.Keys(x.handedOut))
}

// published tells that agents were given what the last flush returned, and with which publication.
func (x *index) published(revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.handedOut {
		if r := x.policies[id]; r != nil && r.told != r.source.Generation {
			r.told, r.toldWith = r.source.Generation, revision
		}
	}
	x.handedOut = nil
}

// underWay reports whether a change of the policy has not been published yet. What agents acknowledged then is not about it.
func (x *index) underWay(id policy.ID) bool {
	_, waiting := x.changes.statuses[id]
	_, handedOut := x.handedOut[id]
	return waiting || handedOut
}

func (x *index) flushProfile(b outbox, name string) {
	pr := x.profiles[name]
	if pr.pods == 0 {
		delete(x.profiles, name)
		x.use(pr, nil)
		b.RemoveProfile(name)
		return
	}
	versions := make([]*compile.Policy, 0, len(pr.members))
	ids := make([]policy.ID, 0, len(pr.members))
	for _, r := range pr.members {
		ids = append(ids, r.id)
		versions = append(versions, r.active.In(pr.namespace, x.facts.Service))
	}
	pr.drawn = compile.Compile(name, versions, x.facts.Service)
	x.compiles++
	pr.forgetDerived()
	x.seeRelative(pr)
	x.use(pr, servicesOf(pr.drawn))
	b.SetProfile(pr.drawn, ids...)
	pr.statuses(&x.changes)
}

func servicesOf(p *policy.Profile) []string {
	var out []string
	for i := range p.Bindings {
		if p.Bindings[i].To.Kind == policy.TargetService {
			out = append(out, p.Bindings[i].To.Service)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// use replaces the Services that a profile names. Destinations exist while a profile names them.
func (x *index) use(pr *profile, names []string) {
	for _, name := range names {
		refs := x.service(name)
		if refs.profiles++; refs.profiles == 1 {
			x.changes.destinations[name] = struct{}{}
		}
	}
	for _, name := range pr.uses {
		refs := x.services[name]
		if refs.profiles--; refs.profiles == 0 {
			x.changes.destinations[name] = struct{}{}
			x.tidyService(name, refs)
		}
	}
	pr.uses = names
}

func (x *index) flushDestination(b outbox, name string) {
	refs := x.services[name]
	if refs == nil || refs.profiles == 0 {
		b.RemoveDestination(name)
		return
	}
	d, ok := x.facts.Destination(name)
	if !ok {
		b.RemoveDestination(name)
		return
	}
	b.SetDestination(d)
}
