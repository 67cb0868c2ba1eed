package subscribe

import (
	"maps"
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
		},
	}
}

func (s *set) clone() *set {
	return &set{
		resources: maps.Clone(s.resources),
		snapshot: &policy.Snapshot{
			Workloads: maps.Clone(s.snapshot.Workloads), Profiles: maps.Clone(s.snapshot.Profiles), Destinations: maps.Clone(s.snapshot.Destinations),
		},
		generation: s.generation,
	}
}

// cloneFor returns a copy in which the kinds that u changes can be changed. It shares the others with s.
func (s *set) cloneFor(u wire.Update) *set {
	shared := *s.snapshot
	out := &set{resources: maps.Clone(s.resources), snapshot: &shared, generation: s.generation}
	var cloned [wire.Destination + 1]bool
	touch := func(k wire.Kind) {
		if cloned[k] {
			return
		}
		cloned[k] = true
		switch k {
		case wire.Workload:
			shared.Workloads = maps.Clone(shared.Workloads)
		case wire.Profile:
			shared.Profiles = maps.Clone(shared.Profiles)
		case wire.Destination:
			shared.Destinations = maps.Clone(shared.Destinations)
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
	}
}

// revert gives ref the version that old has, or none.
func (s *set) revert(ref wire.Ref, old *set) {
	before := old.resources[ref]
	if before == nil || before == s.resources[ref] {
		s.remove(ref)
		return
	}
	s.resources[ref] = before
	s.snapshot.Profiles[ref.Name] = old.snapshot.Profiles[ref.Name]
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
