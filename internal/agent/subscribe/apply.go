package subscribe

import (
	"fmt"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Reason is the machine's word for a rejection.
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

// apply puts next into force as far as it can be, in place of current. It returns the set that is in force then, and what was refused on
// the way. It ends because a refused profile goes from its new version to the old one and from there to none.
func apply(a Applier, current, next *set) (*set, []wire.Rejection) {
	var refused []wire.Rejection
	seen := map[wire.Ref]bool{}
	for {
		rejections := a.Apply(next.snapshot)
		if len(rejections) == 0 {
			return next, refused
		}
		progress := false
		next = next.clone()
		for _, r := range rejections {
			ref := wire.Ref{Kind: wire.Profile, Name: r.Profile}
			if next.resources[ref] == nil {
				continue
			}
			progress = true
			next.revert(ref, current)
			if !seen[ref] {
				seen[ref] = true
				refused = append(refused, wire.Rejection{Ref: ref, Reason: r.Reason, Message: r.Message})
			}
		}
		if !progress {
			return current, refuseAll(current, next, fmt.Sprintf("not applied: %s", rejections[0].Message))
		}
	}
}

// refuseAll rejects whatever next has and current has not: the applier failed on something that is no profile's fault.
func refuseAll(current, next *set, message string) []wire.Rejection {
	var out []wire.Rejection
	for _, r := range next.list() {
		if current.resources[r.Ref] != r {
			out = append(out, wire.Rejection{Ref: r.Ref, Reason: wire.ReasonInternal, Message: message})
		}
	}
	return out
}
