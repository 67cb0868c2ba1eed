package subscribe

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// fakeApplier refuses versions of profiles, distinguished by their maxRetries.
type fakeApplier struct {
	refuses map[string][]int // profile: versions
	broken  bool             // refuses everything, for no profile's fault, once no profile is at fault
	calls   int
	inForce *policy.Snapshot
}

func (f *fakeApplier) Apply(next *policy.Snapshot) []Rejection {
	f.calls++
	var out []Rejection
	for name, p := range next.Profiles {
		if edit := p.Bindings[0].Base.Retry.MaxRetries; slices.Contains(f.refuses[name], edit) {
			out = append(out, Rejection{Profile: name, Reason: wire.ReasonInvalid, Message: fmt.Sprint(name, edit)})
		}
	}
	switch {
	case len(out) > 0:
	case f.broken:
		out = []Rejection{{Profile: "", Reason: wire.ReasonResources, Message: "out of files"}}
	default:
		f.inForce = next
	}
	return out
}

func edits(s *policy.Snapshot) map[string]int {
	out := map[string]int{}
	for name, p := range s.Profiles {
		out[name] = p.Bindings[0].Base.Retry.MaxRetries
	}
	return out
}

func TestRule35_ARefusedProfileKeepsItsPreviousVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		refuses map[string][]int
		want    map[string]int
		refused []string
		calls   int
	}{
		"nothing refused":         {nil, map[string]int{"a": 2, "b": 2, "new": 2}, nil, 1},
		"one refused":             {map[string][]int{"a": {2}}, map[string]int{"a": 1, "b": 2, "new": 2}, []string{"a2"}, 2},
		"both versions":           {map[string][]int{"a": {1, 2}}, map[string]int{"b": 2, "new": 2}, []string{"a2"}, 3},
		"no previous version":     {map[string][]int{"new": {2}}, map[string]int{"a": 2, "b": 2}, []string{"new2"}, 2},
		"all refused":             {map[string][]int{"a": {2}, "b": {2}, "new": {2}}, map[string]int{"a": 1, "b": 1}, []string{"a2", "b2", "new2"}, 2},
		"old version refused too": {map[string][]int{"a": {1, 2}, "b": {2}}, map[string]int{"b": 1, "new": 2}, []string{"a2", "b2"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			current, _ := emptySet().with(wire.Update{Set: []*wire.Resource{profile(t, "a", 1), profile(t, "b", 1)}})
			u := wire.Update{Set: []*wire.Resource{profile(t, "a", 2), profile(t, "b", 2), profile(t, "new", 2)}}
			next, _ := current.with(u)
			f := &fakeApplier{refuses: tc.refuses}
			got, why := apply(f, current, next)
			if diff := cmp.Diff(tc.want, edits(got.snapshot)); diff != "" {
				t.Errorf("in force (-want +got):\n%s", diff)
			}
			if f.inForce != got.snapshot {
				t.Error("what is in force is not what the applier accepted")
			}
			var messages []string
			for _, r := range why.rejections(current, got, u) {
				messages = append(messages, r.Message)
				var held wire.Version
				if now := got.resources[r.Ref]; now != nil {
					held = now.Version
				}
				if !r.HeldKnown || r.Held != held {
					t.Errorf("%s is said to be held in version %s (%v), want %s", r.Ref, r.Held, r.HeldKnown, held)
				}
			}
			if diff := cmp.Diff(tc.refused, messages); diff != "" || f.calls != tc.calls {
				t.Errorf("%d calls, want %d; refused (-want +got):\n%s", f.calls, tc.calls, diff)
			}
			if diff := cmp.Diff(map[string]int{"a": 1, "b": 1}, edits(current.snapshot)); diff != "" {
				t.Errorf("the current set was changed:\n%s", diff)
			}
			for ref, r := range got.resources {
				if p, err := r.Profile(); err != nil || p.Bindings[0].Base.Retry.MaxRetries != tc.want[ref.Name] {
					t.Errorf("%s: the resource is not the snapshot's (%v)", ref, err)
				}
			}
		})
	}
}

func TestAnApplierThatFailsAltogetherChangesNothing(t *testing.T) {
	current := sample(t, 1)
	gone := wire.Ref{Kind: wire.Destination, Name: "shop/cart"}
	for name, refuses := range map[string]map[string][]int{"at once": nil, "after it refused a profile": {"p": {2}}} {
		u := wire.Update{Set: []*wire.Resource{profile(t, "p", 2), profile(t, "q", 1)}, Removed: []wire.Ref{gone}}
		next, _ := current.with(u)
		got, why := apply(&fakeApplier{refuses: refuses, broken: true}, current, next)
		if got != current {
			t.Errorf("%s: in force %v", name, edits(got.snapshot))
		}
		held := map[string]bool{}
		for _, r := range why.rejections(current, got, u) {
			held[r.Ref.String()] = r.Held != wire.Version{}
		}
		want := map[string]bool{"profile/p": true, "profile/q": false, "destination/shop/cart": true}
		if diff := cmp.Diff(want, held); diff != "" {
			t.Errorf("%s: refused, and whether a version is held (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatCannotBeDecodedKeepsItsPreviousVersion(t *testing.T) {
	current := sample(t, 1)
	bad, err := wire.NewResource(wire.Ref{Kind: wire.Profile, Name: "p"}, []byte{0xff})
	if err != nil {
		t.Fatal(err)
	}
	next, refused := current.with(wire.Update{Set: []*wire.Resource{bad, profile(t, "q", 5)}})
	if diff := cmp.Diff(map[string]int{"p": 1, "q": 5}, edits(next.snapshot)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(refused) != 1 || refused[0].Ref != bad.Ref || refused[0].Reason != wire.ReasonMalformed {
		t.Errorf("refused %v", refused)
	}
	if next.resources[bad.Ref] != current.resources[bad.Ref] {
		t.Error("the bad resource is held")
	}
}

func TestAReportIsKeptUntilItIsAcknowledgedAndTheOldestGoFirst(t *testing.T) {
	o := newReportQueue(time.Now(), nil)
	for i := range maxReports + 3 {
		o.add(queuedReport{at: time.Now(), body: &policy.Report{Captured: i}})
	}
	var captured []int
	first := o.after(0)
	for _, d := range first {
		captured = append(captured, d.body.Captured)
	}
	if len(captured) != maxReports || captured[0] != 3 {
		t.Fatalf("kept %v", captured)
	}
	if rest := o.after(first[4].sequence); len(rest) != maxReports-5 || rest[0].body.Captured != 8 {
		t.Errorf("after the fifth: %d, first %d", len(rest), rest[0].body.Captured)
	}
	o.acknowledged(wire.ReportAck{Sequence: first[1].sequence})
	o.drop(first[3].sequence)
	var left []int
	for _, d := range o.after(0) {
		left = append(left, d.body.Captured)
	}
	if len(left) != maxReports-3 || left[0] != 5 || left[1] != 7 {
		t.Errorf("left %v", left)
	}
}

// The manager tells a restarted agent's reports from those before by it, whatever the node's clock says. Managers that know no instances
// go by sequences, which grow with the clock.
func TestEveryProcessHasAnInstanceOfItsOwn(t *testing.T) {
	now := time.Now()
	a, b, setBack := newReportQueue(now, nil), newReportQueue(now.Add(time.Hour), nil), newReportQueue(now.Add(-time.Hour), nil)
	if a.instance == 0 || b.instance == 0 || a.instance == b.instance || setBack.instance == a.instance {
		t.Errorf("instances %d, %d and %d", a.instance, b.instance, setBack.instance)
	}
	if b.sequence <= a.sequence+maxReports {
		t.Errorf("the sequence of a process starts at %d, an hour later at %d", a.sequence, b.sequence)
	}
}
