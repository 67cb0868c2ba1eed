package subscribe

import (
	"cmp"
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Reason classifies a rejection.
type Reason = wire.Reason

// The reasons an Applier may give.
const (
	// ReasonInvalid: the profile is understood and refused.
	ReasonInvalid = wire.ReasonInvalid
	// ReasonResources: the agent lacks memory, files or another resource.
	ReasonResources = wire.ReasonResources
	// ReasonInternal: the agent failed.
	ReasonInternal = wire.ReasonInternal
)

// Rejection names a profile that cannot be applied, and why.
type Rejection struct {
	Profile string
	Reason  Reason
	Message string
}

// Applier puts a snapshot into force.
type Applier interface {
	// Apply puts next into force, all of it, and returns nil; or changes nothing and returns every profile that it cannot apply. It
	// is then called again with the previous version of those, or without them if that is refused as well. A workload may
	// name a profile, and a profile a destination, that next does not have. Calls do not overlap.
	Apply(next *policy.Snapshot) []Rejection
}

// apply puts next into force as far as it can be, in place of current. It returns the set that is in force then, and why profiles were
// refused on the way. It ends because a refused profile first loses what is new of what it refers to, then goes from its new version to the
// old one, and from there to none.
func apply(a Applier, current, next *set) (*set, refusals) {
	why := refusals{}
	for {
		rejections := a.Apply(next.snapshot)
		if len(rejections) == 0 {
			return next, why
		}
		progress := false
		next = next.clone()
		for _, r := range rejections {
			if next.resources[wire.Ref{Kind: wire.Profile, Name: r.Profile}] == nil {
				continue
			}
			progress = true
			for _, ref := range next.revert(r.Profile, current) {
				why.add(wire.Rejection{Ref: ref, Reason: r.Reason, Message: r.Message})
			}
		}
		if !progress { // the applier failed on something that is no profile's fault
			why.all = "not applied: " + rejections[0].Message
			return current, why
		}
	}
}

// refusals say why resources were refused.
type refusals struct {
	of  map[wire.Ref]wire.Rejection
	all string // why nothing was applied at all
}

// add notes a refusal; the first one of a resource counts, since it is about the version that was to be applied.
func (f *refusals) add(r wire.Rejection) {
	if f.of == nil {
		f.of = map[wire.Ref]wire.Rejection{}
	}
	if _, known := f.of[r.Ref]; !known {
		f.of[r.Ref] = r
	}
}

// replace notes refusals that come before those of the applier, which is not asked about what cannot be decoded.
func (f *refusals) replace(list []wire.Rejection) {
	for _, r := range list {
		delete(f.of, r.Ref)
		f.add(r)
	}
}

// reason returns the rejection of ref without what is held.
func (f *refusals) reason(ref wire.Ref) wire.Rejection {
	if r, known := f.of[ref]; known {
		return r
	}
	return wire.Rejection{Ref: ref, Reason: wire.ReasonInternal, Message: cmp.Or(f.all, "given up")}
}

// rejections compares what is in force with what an update of base asked for. It lists each difference, so that an acknowledgement
// with this list says exactly what is held.
func (f *refusals) rejections(base, inForce *set, u wire.Update) []wire.Rejection {
	var out []wire.Rejection
	reject := func(ref wire.Ref) {
		r := f.reason(ref)
		r.HeldKnown = true
		if now := inForce.resources[ref]; now != nil {
			r.Held = now.Version
		}
		out = append(out, r)
	}
	asked := maps.Clone(base.resources)
	for _, ref := range u.Removed {
		delete(asked, ref)
	}
	for _, r := range u.Set {
		asked[r.Ref] = r
	}
	for ref, r := range asked {
		if now := inForce.resources[ref]; now == nil || now.Version != r.Version {
			reject(ref)
		}
	}
	for ref := range inForce.resources {
		if asked[ref] == nil {
			reject(ref)
		}
	}
	slices.SortFunc(out, func(a, b wire.Rejection) int { return a.Ref.Compare(b.Ref) })
	return out
}
