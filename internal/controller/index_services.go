package controller

import (
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// refer replaces the Services that r is known to name.
func (x *index) refer(r *record, names []string) {
	for _, name := range r.services {
		if !slices.Contains(names, name) {
			refs := x.services[name]
			delete(refs.policies, r)
			x.tidyService(name, refs)
		}
	}
	for _, name := range names {
		refs := x.service(name)
		if len(refs.policies) == 0 {
			refs.seen, _ = x.facts.Service(name)
		}
		refs.policies[r] = struct{}{}
	}
	r.services = names
}

func (x *index) service(name string) *serviceRefs {
	refs := x.services[name]
	if refs == nil {
		refs = &serviceRefs{policies: map[*record]struct{}{}}
		x.services[name] = refs
	}
	return refs
}

func (x *index) tidyService(name string, refs *serviceRefs) {
	if len(refs.policies) == 0 && refs.profiles == 0 {
		delete(x.services, name)
	}
}

// serviceChanged takes note that a Service or its endpoints are not what they were.
func (x *index) serviceChanged(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if refs := x.services[name]; refs != nil {
		if refs.profiles > 0 {
			x.changes.destinations[name] = struct{}{}
		}
		for r := range refs.policies {
			x.changes.status(r) // the number of endpoints
		}
		x.reread(name, refs)
	}
	_, base, _ := strings.Cut(name, "/")
	if refs := x.services["*/"+base]; refs != nil {
		x.redrawRelative(name, refs)
	}
}

// reread reads the policies that name a Service again if something changed of it that they depend on, its being there included. Their
// profiles are drawn again too: a last good version is not read again.
func (x *index) reread(name string, refs *serviceRefs) {
	now, _ := x.facts.Service(name)
	if sameService(refs.seen, now) {
		return
	}
	refs.seen = now
	for r := range refs.policies {
		x.read(r)
		x.changes.settle[r.id.Namespace] = struct{}{}
		for pr := range r.profiles {
			x.changes.profile(pr)
		}
	}
}

// redrawRelative marks the profiles of the Service's namespace that belong to policies naming the callers' own Service, if something
// changed of it that they depend on. Endpoints are none of that.
func (x *index) redrawRelative(name string, refs *serviceRefs) {
	now, _ := x.facts.Service(name)
	if before := refs.seenIn[name]; before != nil && sameService(before, now) {
		return
	}
	refs.see(name, now)
	namespace, _, _ := strings.Cut(name, "/")
	for r := range refs.policies {
		for pr := range r.profiles {
			if pr.namespace == namespace {
				x.changes.profile(pr)
			}
		}
	}
}

// seeRelative takes note of the Services that a profile was drawn with, of those that its policies name as the callers' own.
func (x *index) seeRelative(pr *profile) {
	for _, r := range pr.members {
		for _, name := range r.services {
			if base, relative := strings.CutPrefix(name, "*/"); relative {
				own := pr.namespace + "/" + base
				svc, _ := x.facts.Service(own)
				x.services[name].see(own, svc)
			}
		}
	}
}

// see takes note of how the Service of a namespace was read last; nil if there is none.
func (refs *serviceRefs) see(name string, svc *compile.Service) {
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
	return a.External == b.External && a.Affinity == b.Affinity && slices.Equal(a.Ports, b.Ports)
}
