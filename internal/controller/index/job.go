package index

import (
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// Job is a profile to compile, with a snapshot of all it is compiled from. Jobs share only what does not change, so that different
// goroutines may compile different jobs.
type Job struct {
	profile  *profile
	version  uint64
	ids      []policy.ID
	policies []*compile.Policy
	services map[string]*compile.Service // nil: there is no such Service

	result *policy.Profile
}

// Compile compiles the job. It takes no lock.
func (j *Job) Compile() {
	lookup := func(name string) (*compile.Service, bool) {
		svc := j.services[name]
		return svc, svc != nil
	}
	local := make([]*compile.Policy, len(j.policies))
	for i, p := range j.policies {
		local[i] = p.In(j.profile.namespace, lookup)
	}
	j.result = compile.Compile(j.profile.name, local)
}

// Take returns the profiles that wait to be compiled, sorted by name. They go on waiting until Publish gets them compiled.
func (x *Index) Take() []*Job {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resolvePending()
	return x.jobs(x.changes.profiles)
}

// TakeUrgent returns the profiles that wait to be compiled and that others should wait for: pods that have just started wait for them, or
// an earlier job was dropped.
func (x *Index) TakeUrgent() []*Job {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resolvePending()
	return x.jobs(x.changes.urgent)
}

func (x *Index) jobs(profiles map[string]*profile) []*Job {
	jobs := make([]*Job, 0, len(profiles))
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		jobs = append(jobs, x.job(profiles[name]))
	}
	return jobs
}

func (x *Index) job(pr *profile) *Job {
	j := &Job{profile: pr, version: pr.version, services: map[string]*compile.Service{}}
	for _, r := range pr.members {
		if j.ids = append(j.ids, r.id); r.next {
			j.ids = append(j.ids, NextID(r.id))
		}
		j.policies = append(j.policies, r.version())
		for _, name := range r.services {
			full, _ := pr.resolve(name)
			if _, known := j.services[full]; !known {
				j.services[full], _ = x.lookup.Service(full)
			}
		}
	}
	return j
}
