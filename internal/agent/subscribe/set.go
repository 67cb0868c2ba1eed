package subscribe

import (
	"maps"
	"math"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// set is what an agent holds: resources as they were received, and the snapshot they decode to. It is immutable.
type set struct {
	resources map[wire.Ref]*wire.Resource
	snapshot  *policy.Snapshot
	// generation is that of the last update, or of the newest profile in a set from disk.
	generation uint64
}

func emptySet() *set {
	return &set{
		resources: map[wire.Ref]*wire.Resource{},
		snapshot: &policy.Snapshot{
			Workloads: map[string]*policy.Workload{}, Profiles: map[string]*policy.Profile{}, Destinations: map[string]*policy.Destination{},
			Roots: map[string]*policy.Roots{}, KeyPairs: map[string]*policy.KeyPair{}, Credentials: map[string]*policy.Credentials{},
		},
	}
}

func (s *set) clone() *set {
	return &set{
		resources: maps.Clone(s.resources),
		snapshot: &policy.Snapshot{
			Workloads: maps.Clone(s.snapshot.Workloads), Profiles: maps.Clone(s.snapshot.Profiles), Destinations: maps.Clone(s.snapshot.Destinations),
			Roots: maps.Clone(s.snapshot.Roots), KeyPairs: maps.Clone(s.snapshot.KeyPairs), Credentials: maps.Clone(s.snapshot.Credentials),
		},
		generation: s.generation,
	}
}

// cloneFor returns a copy in which the kinds that u changes can be changed. It shares the others with s.
func (s *set) cloneFor(u wire.Update) *set {
	shared := *s.snapshot
	out := &set{resources: maps.Clone(s.resources), snapshot: &shared, generation: s.generation}
	var cloned [math.MaxUint8 + 1]bool
	touch := func(k wire.Kind) {
		if !cloned[k] {
			cloned[k] = true
			cloneKind(&shared, k)
		}
	}
	for _, ref := range u.Removed {
		touch(ref.Kind)
	}
	for _, r := range u.Set {
		touch(r.Ref.Kind)
	}
	return out
}

// cloneKind replaces the map of a kind by a copy.
func cloneKind(s *policy.Snapshot, k wire.Kind) {
	switch k {
	case wire.Workload:
		s.Workloads = maps.Clone(s.Workloads)
	case wire.Profile:
		s.Profiles = maps.Clone(s.Profiles)
	case wire.Destination:
		s.Destinations = maps.Clone(s.Destinations)
	case wire.Roots:
		s.Roots = maps.Clone(s.Roots)
	case wire.KeyPair:
		s.KeyPairs = maps.Clone(s.KeyPairs)
	case wire.Credentials:
		s.Credentials = maps.Clone(s.Credentials)
	}
}

// emptied returns a set without resources that counts its updates on from s.
func (s *set) emptied() *set {
	out := emptySet()
	out.generation = s.generation
	return out
}

// with returns s changed by u, without the resources that cannot be decoded: they keep the version s has.
func (s *set) with(u wire.Update) (*set, []wire.Rejection) {
	next := s.cloneFor(u)
	next.generation++
	var rejections []wire.Rejection
	for _, ref := range u.Removed {
		next.remove(ref)
	}
	for _, r := range u.Set {
		whole, err := r.Whole(s.resources[r.Ref])
		if err == nil {
			err = next.put(whole, next.generation)
		}
		if err != nil {
			rejections = append(rejections, wire.Rejection{Ref: r.Ref, Reason: wire.ReasonOf(err), Message: err.Error()})
		}
	}
	return next, rejections
}

// put adds r, received with the update of that generation. It is for a set that is not published yet, as is remove.
func (s *set) put(r *wire.Resource, generation uint64) error {
	var err error
	switch name := r.Ref.Name; r.Ref.Kind {
	case wire.Workload:
		err = put(s.snapshot.Workloads, name, r.Workload)
	case wire.Profile:
		if err = put(s.snapshot.Profiles, name, r.Profile); err == nil {
			s.snapshot.Profiles[name].Generation = generation
		}
	case wire.Destination:
		err = put(s.snapshot.Destinations, name, r.Destination)
	case wire.Roots:
		err = put(s.snapshot.Roots, name, r.Roots)
	case wire.KeyPair:
		err = put(s.snapshot.KeyPairs, name, r.KeyPair)
	case wire.Credentials:
		err = put(s.snapshot.Credentials, name, r.Credentials)
	}
	if err == nil {
		s.resources[r.Ref] = r
	}
	return err
}

func put[T any](m map[string]*T, name string, decode func() (*T, error)) error {
	v, err := decode()
	if err == nil {
		m[name] = v
	}
	return err
}

func (s *set) remove(ref wire.Ref) {
	delete(s.resources, ref)
	switch ref.Kind {
	case wire.Workload:
		delete(s.snapshot.Workloads, ref.Name)
	case wire.Profile:
		delete(s.snapshot.Profiles, ref.Name)
	case wire.Destination:
		delete(s.snapshot.Destinations, ref.Name)
	case wire.Roots:
		delete(s.snapshot.Roots, ref.Name)
	case wire.KeyPair:
		delete(s.snapshot.KeyPairs, ref.Name)
	case wire.Credentials:
		delete(s.snapshot.Credentials, ref.Name)
	}
}

// revert undoes what may have had a profile refused, and returns of which resources: those that it refers to get the version that old has,
// or, if these are the same as in old, the profile itself does, or is removed if that is the same too.
func (s *set) revert(profile string, old *set) []wire.Ref {
	var reverted []wire.Ref
	for _, ref := range references(s.snapshot.Profiles[profile]) {
		if before := old.resources[ref]; before != nil && before != s.resources[ref] {
			s.restore(ref, old)
			reverted = append(reverted, ref)
		}
	}
	if len(reverted) > 0 {
		return reverted
	}
	ref := wire.Ref{Kind: wire.Profile, Name: profile}
	if before := old.resources[ref]; before == nil || before == s.resources[ref] {
		s.remove(ref)
	} else {
		s.restore(ref, old)
	}
	return []wire.Ref{ref}
}

// restore gives ref the version that old has.
func (s *set) restore(ref wire.Ref, old *set) {
	s.resources[ref] = old.resources[ref]
	switch name := ref.Name; ref.Kind {
	case wire.Profile:
		s.snapshot.Profiles[name] = old.snapshot.Profiles[name]
	case wire.Roots:
		s.snapshot.Roots[name] = old.snapshot.Roots[name]
	case wire.KeyPair:
		s.snapshot.KeyPairs[name] = old.snapshot.KeyPairs[name]
	case wire.Credentials:
		s.snapshot.Credentials[name] = old.snapshot.Credentials[name]
	case wire.Workload, wire.Destination: // a profile is not refused because of them
	}
}

// references lists what a profile refers to besides destinations.
func references(p *policy.Profile) []wire.Ref {
	var out []wire.Ref
	for kind, name := range p.References() {
		out = append(out, wire.ReferenceTo(kind, name))
	}
	return out
}

func (s *set) versions() map[wire.Ref]wire.Version {
	out := make(map[wire.Ref]wire.Version, len(s.resources))
	for ref, r := range s.resources {
		out[ref] = r.Version
	}
	return out
}

// list returns the resources in order.
func (s *set) list() []*wire.Resource {
	return slices.SortedFunc(maps.Values(s.resources), func(a, b *wire.Resource) int { return a.Ref.Compare(b.Ref) })
}

// saved returns what is kept of s on disk.
func (s *set) saved() wire.Saved {
	out := wire.Saved{Resources: s.list()}
	out.Generations = make([]uint64, len(out.Resources))
	for i, r := range out.Resources {
		if r.Ref.Kind == wire.Profile {
			out.Generations[i] = s.snapshot.Profiles[r.Ref.Name].Generation
		}
	}
	return out
}

// restored reverses saved.
func restored(saved wire.Saved) (*set, error) {
	s := emptySet()
	for i, r := range saved.Resources {
		if err := s.put(r, saved.Generations[i]); err != nil {
			return nil, err
		}
		s.generation = max(s.generation, saved.Generations[i])
	}
	return s, nil
}
