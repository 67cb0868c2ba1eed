package subscribe

import (
	"path/filepath"
	"reflect"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// An agent that refuses one of two profiles holds two versions of what they share. Which is newer must be known, also after a restart.
func TestTheNewerOfTwoProfilesHasTheGreaterGeneration(t *testing.T) {
	receive := func(s *set, refuses map[string][]int, names ...string) *set {
		t.Helper()
		edit := int(s.generation) + 1
		var u wire.Update
		for _, name := range names {
			u.Set = append(u.Set, profile(t, name, edit))
		}
		next, undecoded := s.with(u)
		if len(undecoded) > 0 {
			t.Fatal(undecoded)
		}
		got, _ := apply(&fakeApplier{refuses: refuses}, s, next)
		return got
	}
	newer := func(what string, s *set, a, b string) {
		t.Helper()
		p := s.snapshot.Profiles
		if p[a].Generation <= p[b].Generation {
			t.Errorf("%s: %s has generation %d, %s %d", what, a, p[a].Generation, b, p[b].Generation)
		}
	}
	s := receive(emptySet(), nil, "a", "b")
	if p := s.snapshot.Profiles; p["a"].Generation != p["b"].Generation {
		t.Errorf("of one update: %d and %d", p["a"].Generation, p["b"].Generation)
	}
	s = receive(s, map[string][]int{"a": {2}}, "a", "b")
	newer("a refused", s, "b", "a")
	path := filepath.Join(t.TempDir(), "policy")
	if err := saveCopy(path, s); err != nil {
		t.Fatal(err)
	}
	s, err := loadCopy(path)
	if err != nil {
		t.Fatal(err)
	}
	newer("after a restart", s, "b", "a")
	s = receive(s, nil, "a")
	newer("received later", s, "a", "b")
	// An agent that holds more than it can say is sent everything again.
	again := receive(s.emptied(), nil, "b")
	if got := again.snapshot.Profiles["b"].Generation; got <= s.snapshot.Profiles["a"].Generation {
		t.Errorf("sent again: generation %d", got)
	}
}

// Copies written before generations were kept are read all the same.
func TestACopyWithoutGenerationsIsRead(t *testing.T) {
	body, err := wire.EncodeSaved(wire.Saved{Resources: sample(t, 2).list()})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := wire.DecodeSaved(body)
	if err != nil {
		t.Fatal(err)
	}
	s, err := restored(saved)
	if err != nil || s.snapshot.Profiles["p"].Generation != 0 || len(s.resources) != 4 {
		t.Errorf("%d resources, profile %+v, error %v", len(s.resources), s.snapshot.Profiles["p"], err)
	}
}

// What an update does not touch is shared with the set before, and what it touches is not: that set may be in force still.
func TestAnUpdateCopiesOnlyTheKindsThatItTouches(t *testing.T) {
	workload, err := wire.EncodeWorkload(&policy.Workload{UID: "w", Namespace: "shop", Name: "w", Profile: "a"})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := emptySet().with(wire.Update{Set: []*wire.Resource{profile(t, "a", 1), workload}})
	after, undecoded := before.with(wire.Update{Set: []*wire.Resource{profile(t, "b", 1)}})
	if len(undecoded) > 0 || len(before.snapshot.Profiles) != 1 || len(after.snapshot.Profiles) != 2 || len(before.resources) != 2 {
		t.Errorf("%d profiles before, %d after, %v", len(before.snapshot.Profiles), len(after.snapshot.Profiles), undecoded)
	}
	a, b := reflect.ValueOf(before.snapshot.Workloads), reflect.ValueOf(after.snapshot.Workloads)
	if a.UnsafePointer() != b.UnsafePointer() {
		t.Error("the workloads were copied")
	}
	removed, _ := after.with(wire.Update{Removed: []wire.Ref{workload.Ref}})
	if len(removed.snapshot.Workloads) != 0 || len(after.snapshot.Workloads) != 1 {
		t.Errorf("%d workloads after their removal, %d before", len(removed.snapshot.Workloads), len(after.snapshot.Workloads))
	}
}

// Every kind of resource has a map in the snapshot, and an update that sets or removes one of a kind copies that map and no other.
func TestAnUpdateOfEveryKindCopiesItsMap(t *testing.T) {
	before := emptySet()
	seen := map[int]bool{}
	for kind := wire.Workload; kind <= wire.Credentials; kind++ {
		ref := wire.Ref{Kind: kind, Name: "a"}
		for name, u := range map[string]wire.Update{"set": {Set: []*wire.Resource{{Ref: ref}}}, "removed": {Removed: []wire.Ref{ref}}} {
			a, b := reflect.ValueOf(*before.snapshot), reflect.ValueOf(*before.cloneFor(u).snapshot)
			var copied []int
			for i := range a.NumField() {
				if f := a.Field(i); f.Kind() == reflect.Map && f.UnsafePointer() != b.Field(i).UnsafePointer() {
					copied = append(copied, i)
					seen[i] = true
				}
			}
			if len(copied) != 1 {
				t.Errorf("%s %s: %d maps are copied", ref, name, len(copied))
			}
		}
	}
	if n := int(wire.Credentials - wire.Workload + 1); len(seen) != n {
		t.Errorf("%d maps for %d kinds", len(seen), n)
	}
}
