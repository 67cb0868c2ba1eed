package index

import (
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// publication is a policy whose changes are being published.
type publication struct {
	entry      *policyEntry // nil if it was deleted
	generation int64
}

// Publish returns all changes, with the profiles of the compiled jobs, and the policies whose status may have changed. Jobs whose inputs
// have changed since they were taken are dropped, and what depends on them waits. The caller publishes the changes and says so with
// Published.
func (x *Index) Publish(jobs []*Job) (*Changes, []policy.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resolvePending()
	var out Changes
	for _, j := range jobs {
		x.publishProfile(j, &out)
	}
	for _, p := range x.changes.workloads {
		x.publishWorkload(p, &out)
	}
	for _, pr := range x.changes.unused {
		x.removeProfile(pr, &out)
	}
	for name := range x.changes.destinations {
		x.publishDestination(name, &out)
	}
	for key := range x.changes.materials {
		x.publishMaterial(key, &out)
	}
	statuses := x.takeStatuses()
	x.changes.shrink()
	return &out, statuses
}

// PublishUrgent returns the changes that pods that have just started wait for, given the compiled jobs of TakeUrgent. All else waits for
// Publish.
func (x *Index) PublishUrgent(jobs []*Job) *Changes {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out Changes
	for _, j := range jobs {
		if !x.publishProfile(j, &out) {
			continue
		}
		for _, name := range j.profile.services {
			if _, changed := x.changes.destinations[name]; changed {
				x.publishDestination(name, &out)
			}
		}
		for _, key := range j.profile.materials {
			if _, changed := x.changes.materials[key]; changed {
				x.publishMaterial(key, &out)
			}
		}
	}
	for _, p := range x.changes.starting {
		x.publishWorkload(p, &out)
	}
	return &out
}

// Published notes that what the last Publish returned was published, and the number of that publication.
func (x *Index) Published(revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.inPublication {
		if p.entry != nil && p.entry.publishedGeneration != p.generation {
			p.entry.publishedGeneration, p.entry.publishedRevision = p.generation, revision
		}
	}
	x.inPublication = nil
}

// isUnpublished reports whether a change of the policy has not been published yet. What agents acknowledged then is not about it.
func (x *Index) isUnpublished(id policy.ID) bool {
	_, waiting := x.changes.statuses[id]
	_, underWay := x.inPublication[id]
	return waiting || underWay
}

// takeStatuses returns the policies whose status may have changed, but for those of whose own change a profile is not compiled yet.
func (x *Index) takeStatuses() []policy.ID {
	x.inPublication = map[policy.ID]publication{}
	for id := range x.changes.statuses {
		r := x.policies[id]
		switch {
		case r == nil:
			x.inPublication[id] = publication{}
		case r.uncompiled == 0:
			x.inPublication[id] = publication{entry: r, generation: r.source.Generation}
		default:
			continue
		}
		delete(x.changes.statuses, id)
	}
	return slices.Collect(maps.Keys(x.inPublication))
}

// publishProfile publishes a compiled profile, or drops it and returns false.
func (x *Index) publishProfile(j *Job, out *Changes) bool {
	pr := j.profile
	if x.changes.profiles[pr.name] != pr {
		return false // compiled by another job meanwhile, or not used any more
	}
	if pr.version != j.version {
		x.changes.urgent[pr.name] = pr // or it might wait for ever
		return false
	}
	delete(x.changes.profiles, pr.name)
	delete(x.changes.urgent, pr.name)
	pr.compiled, pr.usable = j.result, true
	pr.clearCauses()
	pr.forgetDerived()
	pr.markStatuses(&x.changes)
	x.compilations++
	x.recordRelative(j)
	x.setServices(pr, pr.compiled.Services())
	x.useMaterials(pr, materialsOf(pr.compiled))
	out.profiles = append(out.profiles, compiledProfile{pr.compiled, j.ids})
	return true
}

// publishWorkload publishes which profile a pod has, unless that is yet to be compiled.
func (x *Index) publishWorkload(p *pod, out *Changes) {
	to := p.profile
	if to != nil && !to.usable {
		return
	}
	delete(x.changes.workloads, p.UID)
	delete(x.changes.starting, p.UID)
	if from := p.published; from != nil {
		from.publishedPods--
	}
	p.published = to
	if to == nil {
		out.removedWorkloads = append(out.removedWorkloads, string(p.UID))
		return
	}
	to.publishedPods++
	w := policy.Workload{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, Profile: to.name, Zone: x.zoneOf(p.Node), Owner: p.owner()}
	out.workloads = append(out.workloads, placedWorkload{w, p.Node})
}

// removeProfile removes a profile that no pod has any more, unless agents know of one that has.
func (x *Index) removeProfile(pr *profile, out *Changes) {
	if pr.publishedPods > 0 {
		return
	}
	delete(x.changes.unused, pr.name)
	delete(x.profiles, pr.name)
	x.setServices(pr, nil)
	x.useMaterials(pr, nil)
	if pr.compiled != nil {
		out.removedProfiles = append(out.removedProfiles, pr.name)
	}
}

func (x *Index) publishDestination(name string, out *Changes) {
	delete(x.changes.destinations, name)
	refs := x.services[name]
	if refs == nil || refs.profiles == 0 {
		out.removedDestinations = append(out.removedDestinations, name)
		return
	}
	d, ok := x.lookup.Destination(name)
	if !ok {
		out.removedDestinations = append(out.removedDestinations, name)
		return
	}
	out.destinations = append(out.destinations, d)
}
