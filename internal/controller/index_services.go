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

// reread reads the policies that name a Service again if its ports changed, or its being there.
func (x *index) reread(name string, refs *serviceRefs) {
	now, _ := x.facts.Service(name)
	if sameService(refs.seen, now) {
		return
	}
	refs.seen = now
	for r := range refs.policies {
		x.read(r)
		x.changes.settle[r.id.Namespace] = struct{}{}
	}
}

// redrawRelative marks the profiles of the Service's namespace that belong to policies naming the callers' own Service.
func (x *index) redrawRelative(name string, refs *serviceRefs) {
	namespace, _, _ := strings.Cut(name, "/")
	for r := range refs.policies {
		for pr := range r.profiles {
			if pr.namespace == namespace {
				x.changes.profile(pr)
			}
		}
	}
}

func sameService(a, b *compile.Service) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.External == b.External && slices.Equal(a.Ports, b.Ports)
}
