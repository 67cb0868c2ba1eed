package index

import (
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// serviceRefs is a Service that somebody names.
type serviceRefs struct {
	policies map[*policyEntry]struct{}
	profiles int
	// seen is how the policies were read last; nil if there was no such Service.
	seen *compile.Service
	// seenIn is the same of the Services of single namespaces, by "namespace/name", where the namespace is the caller's own. Services
	// that are not there are missing.
	seenIn map[string]*compile.Service
}

// setReferences works out which Services r names: those of the policy as written, and those of the version that acts, if that is another.
func (x *Index) setReferences(r *policyEntry) {
	names := compile.Services(&r.source)
	for _, older := range r.olderVersions() {
		names = append(names, compile.Services(&older.Source)...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	x.refer(r, names)
}

// refer replaces the Services that r is known to name.
func (x *Index) refer(r *policyEntry, names []string) {
	for _, name := range r.services {
		if !slices.Contains(names, name) {
			refs := x.services[name]
			delete(refs.policies, r)
			x.removeServiceIfUnused(name, refs)
		}
	}
	for _, name := range names {
		refs := x.service(name)
		if len(refs.policies) == 0 {
			refs.seen, _ = x.lookup.Service(name)
		}
		refs.policies[r] = struct{}{}
	}
	r.services = names
}

func (x *Index) service(name string) *serviceRefs {
	refs := x.services[name]
	if refs == nil {
		refs = &serviceRefs{policies: map[*policyEntry]struct{}{}}
		x.services[name] = refs
	}
	return refs
}

func (x *Index) removeServiceIfUnused(name string, refs *serviceRefs) {
	if len(refs.policies) == 0 && refs.profiles == 0 {
		delete(x.services, name)
	}
}

// ServiceChanged takes note that a Service or its endpoints are not what they were.
func (x *Index) ServiceChanged(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if refs := x.services[name]; refs != nil {
		if refs.profiles > 0 {
			x.changes.destinations[name] = struct{}{}
		}
		for r := range refs.policies {
			x.changes.status(r) // the number of endpoints
		}
		x.readAgain(name, refs)
	}
	_, base, _ := strings.Cut(name, "/")
	if refs := x.services["*/"+base]; refs != nil {
		x.recompileRelative(name, refs)
	}
}

// readAgain reads the policies that name a Service again if something changed of it that they depend on, its being there included.
func (x *Index) readAgain(name string, refs *serviceRefs) {
	now, _ := x.lookup.Service(name)
	if sameService(refs.seen, now) {
		return
	}
	refs.seen = now
	for r := range refs.policies {
		x.read(r)
		x.changes.conflicts[r.id.Namespace] = struct{}{}
	}
}

// recompileRelative marks the profiles of the Service's namespace that belong to policies naming the callers' own Service, if something
// changed of it that they depend on. Endpoints are none of that.
func (x *Index) recompileRelative(name string, refs *serviceRefs) {
	now, _ := x.lookup.Service(name)
	if before := refs.seenIn[name]; before != nil && sameService(before, now) {
		return
	}
	refs.record(name, now)
	namespace, _, _ := strings.Cut(name, "/")
	for r := range refs.policies {
		for pr := range r.profiles {
			if pr.namespace == namespace {
				x.recompile(pr, nil)
			}
		}
	}
}

// recordRelative takes note of the Services that a job was compiled with, of those that its policies name as the callers' own.
func (x *Index) recordRelative(j *Job) {
	for _, r := range j.profile.members {
		for _, name := range r.services {
			own, relative := j.profile.resolve(name)
			if svc, known := j.services[own]; known && relative {
				x.services[name].record(own, svc)
			}
		}
	}
}

// resolve returns the Service that a name means to the profile's pods, and whether that depends on their namespace.
func (pr *profile) resolve(name string) (full string, relative bool) {
	base, relative := strings.CutPrefix(name, "*/")
	if !relative {
		return name, false
	}
	return pr.namespace + "/" + base, true
}

// record takes note of how the Service of a namespace was read last; nil if there is none.
func (refs *serviceRefs) record(name string, svc *compile.Service) {
	switch {
	case svc == nil:
		delete(refs.seenIn, name)
	case refs.seenIn == nil:
		refs.seenIn = map[string]*compile.Service{name: svc}
	default:
		refs.seenIn[name] = svc
	}
}

func sameService(a, b *compile.Service) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.External == b.External && slices.Equal(a.Ports, b.Ports)
}
