package index_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/controller/rollout"
	"fairlead.dev/fairlead/internal/policy"
)

const rolledOut = `{to: [{any: {}}], retry: {maxRetries: %d}, rollout: {percent: 34}}`

// rolledOutWorld has pods on three nodes and a policy in its first generation, which is in force everywhere.
func rolledOutWorld(t *testing.T) (*index.Index, *indextest.Published, policy.ID) {
	t.Helper()
	x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
	src := indextest.RetryPolicy(t, "shop", "p", 1, fmt.Sprintf(rolledOut, 1))
	src.InForce = 1 // by its status
	x.SetPolicy("p", src)
	for i := range 3 {
		x.SetPod(indextest.RunningPod("shop", fmt.Sprint("pod-", i), fmt.Sprint("node-", i), "a"))
	}
	indextest.Publish(x, out)
	x.Published(1)
	return x, out, src.ID
}

// retriesByNode returns the retries that pods on each node have; -1 where they have no policy.
func retriesByNode(out *indextest.Published) map[string]int {
	got := map[string]int{}
	for uid, node := range out.Nodes {
		got[node] = retriesOf(out, out.Workloads[uid].Profile)
	}
	return got
}

// step has a rollout take its next step.
func step(t *testing.T, x *index.Index, out *indextest.Published, id policy.ID, in rollout.Input) v1alpha1.RolloutStatus {
	t.Helper()
	v, ok := x.Rollout(id)
	if !ok || v.State == nil {
		t.Fatalf("no rollout: %+v", v)
	}
	in.UID, in.Kept = string(v.UID), true
	for node := range v.Nodes {
		in.Nodes = append(in.Nodes, node)
	}
	next := rollout.Next(v.Spec, *v.State, &in)
	x.SetRollout(id, v.UID, &next)
	indextest.Publish(x, out)
	return next
}

func retriesOn(t *testing.T, out *indextest.Published, uid string, s *v1alpha1.RolloutStatus, changed, others int) {
	t.Helper()
	want := map[string]int{}
	for i := range 3 {
		node := fmt.Sprint("node-", i)
		if want[node] = others; rollout.Reaches(s, uid, node) {
			want[node] = changed
		}
	}
	for node, n := range want {
		if n < 0 {
			delete(want, node)
		}
	}
	if diff := cmp.Diff(want, retriesByNode(out)); diff != "" {
		t.Errorf("%s: %s", s.Phase, diff)
	}
}

func TestAChangeComesToAShareOfTheNodesFirst(t *testing.T) {
	for _, end := range []string{"", "refused"} {
		x, out, id := rolledOutWorld(t)
		retriesOn(t, out, "p", &v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete}, 1, 1)
		x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 2, fmt.Sprintf(rolledOut, 2)))
		before := x.Compilations()
		indextest.Publish(x, out)
		pending := rollout.Start(2)
		retriesOn(t, out, "p", &pending, 2, 1)
		if n := x.Compilations() - before; n != 0 {
			t.Errorf("%d profiles compiled before the change is on any node", n)
		}
		s := step(t, x, out, id, rollout.Input{})
		retriesOn(t, out, "p", &s, 2, 1)
		if n := x.Compilations() - before; n != 1 {
			t.Errorf("%d profiles compiled, want that of the changed nodes alone", n)
		}
		if v, _ := x.View(id); v.Pods != 3 || v.ActingGeneration != 1 || v.Rollout.Nodes != 2 {
			t.Errorf("the view has %d pods, generation %d acts, on %d nodes", v.Pods, v.ActingGeneration, v.Rollout.Nodes)
		}
		x.SetPod(indextest.RunningPod("shop", "late", "node-9", "a"))
		indextest.Publish(x, out)
		want := 1
		if rollout.Reaches(&s, "p", "node-9") {
			want = 2
		}
		if got := retriesByNode(out)["node-9"]; got != want {
			t.Errorf("a pod on a new node has %d retries, want %d", got, want)
		}
		x.DeletePod("shop", "late")
		s = step(t, x, out, id, rollout.Input{Acknowledged: true})
		s = step(t, x, out, id, rollout.Input{Observed: rollout.ObserveFor(&v1alpha1.Rollout{}), Refusal: end})
		if end == "" {
			retriesOn(t, out, "p", &s, 2, 2)
		} else {
			retriesOn(t, out, "p", &s, 2, 1)
		}
		if len(out.Profiles) != 1 || rollout.UnderWay(&s) {
			t.Errorf("in the end, %s, there are %d profiles", s.Phase, len(out.Profiles))
		}
		x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 3, fmt.Sprintf(rolledOut, 1)))
		indextest.Publish(x, out)
		if v, _ := x.Rollout(id); (v.State == nil) != (end != "") { // what is in force is not rolled out
			t.Errorf("the first generation again after %s: %+v", s.Phase, v.State)
		}
	}
}

// An edit takes the place of one that is being rolled out: the nodes without it keep what they have.
func TestAnEditDuringARolloutBeginsAnother(t *testing.T) {
	x, out, id := rolledOutWorld(t)
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 2, fmt.Sprintf(rolledOut, 2)))
	indextest.Publish(x, out)
	step(t, x, out, id, rollout.Input{})
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 3, fmt.Sprintf(rolledOut, 3)))
	indextest.Publish(x, out)
	s := step(t, x, out, id, rollout.Input{})
	retriesOn(t, out, "p", &s, 3, 1)
	if s.Generation != 3 {
		t.Errorf("generation %d", s.Generation)
	}
	for generation, spec := range map[int64]string{
		4: `{to: [{any: {}}], retry: {maxRetries: 4}}`,                                              // without rollout
		5: `{to: [{any: {}}], mode: Disabled, rollout: {percent: 34}}`,                              // switched off
		6: `{to: [{any: {}}], retry: {maxRetries: 6}, rollout: {percent: 34}, mode: DryRun}`,        // it does not act
		7: `{to: [{any: {}}], retry: {maxRetries: 7}, rollout: {percent: 34}, udp443: PassThrough}`, // from nothing, by a rollout
	} {
		x, out, id := rolledOutWorld(t)
		x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 2, fmt.Sprintf(rolledOut, 2)))
		indextest.Publish(x, out)
		step(t, x, out, id, rollout.Input{})
		x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", generation, spec))
		indextest.Publish(x, out)
		got := retriesByNode(out)
		switch {
		case generation == 4 && (len(got) != 3 || got["node-0"] != 4 || got["node-1"] != 4 || got["node-2"] != 4),
			generation == 5 && len(got) != 0, generation == 7 && got["node-0"] != 1:
			t.Errorf("generation %d: %v", generation, got)
		}
	}
}

// A policy that is made, and one that was switched off, begin on a share of the nodes too; the others have nothing.
func TestAPolicyThatIsMadeIsRolledOut(t *testing.T) {
	x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
	for i := range 3 {
		x.SetPod(indextest.RunningPod("shop", fmt.Sprint("pod-", i), fmt.Sprint("node-", i), "a"))
	}
	src := indextest.RetryPolicy(t, "shop", "p", 1, fmt.Sprintf(rolledOut, 1))
	x.SetPolicy("p", src)
	indextest.Publish(x, out)
	if len(out.Workloads) != 0 {
		t.Errorf("on %v before it is rolled out", out.Nodes)
	}
	s := step(t, x, out, src.ID, rollout.Input{})
	retriesOn(t, out, "p", &s, 1, -1)
	s = step(t, x, out, src.ID, rollout.Input{Refusal: "no"})
	if len(out.Workloads) != 0 || s.Phase != v1alpha1.RolloutRolledBack {
		t.Errorf("%s, on %v", s.Phase, out.Nodes)
	}
	x.DeletePolicy(src.ID)
	indextest.Publish(x, out)
	if _, there := x.Rollout(src.ID); there {
		t.Error("there is a rollout of a policy that is no more")
	}
}

// A manager that comes to lead goes on where the one before was.
func TestANewLeaderGoesOnWithARollout(t *testing.T) {
	first := indextest.RetryPolicy(t, "shop", "p", 1, fmt.Sprintf(rolledOut, 1))
	boundary := int64(rollout.Boundary("p", []string{"node-0", "node-1", "node-2"}, 34))
	for name, tc := range map[string]struct {
		state    *v1alpha1.RolloutStatus
		inForce  int64
		previous *compile.Source
		want     v1alpha1.RolloutStatus
		others   int
	}{
		"observed": {
			&v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutObserving, Generation: 2, Boundary: &boundary}, 1, &first,
			v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutObserving, Boundary: &boundary}, 1},
		"taken back": {
			&v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutRolledBack, Generation: 2}, 1, &first, v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutRolledBack}, 1},
		"edited meanwhile": {
			&v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete, Generation: 1}, 1, &first, v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutPending}, 1},
		"ended": {
			&v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete, Generation: 2}, 2, nil, v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete}, 2},
		"nothing was kept": {nil, 1, nil, v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete}, 2},
		"taken back to what was not kept": {
			&v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutRolledBack, Generation: 2}, 1, nil, v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutRolledBack}, -1},
		"made": {nil, 0, nil, v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutPending}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
			src := indextest.RetryPolicy(t, "shop", "p", 2, fmt.Sprintf(rolledOut, 2))
			src.InForce, src.RolledOut, src.Previous = tc.inForce, tc.state, tc.previous
			x.SetPolicy("p", src)
			x.ResolveConflicts()
			for i := range 3 {
				x.SetPod(indextest.RunningPod("shop", fmt.Sprint("pod-", i), fmt.Sprint("node-", i), "a"))
			}
			indextest.Publish(x, out)
			retriesOn(t, out, "p", &tc.want, 2, tc.others)
		})
	}
}

// Two policies that are rolled out at once do not depend on each other, and what is published at last is what follows from their states.
func TestRolloutsOfPoliciesThatMergeEndInTheSameState(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			w := indextest.NewWorld()
			for _, name := range []string{"n0/s0", "n1/s0"} {
				w.Services[name] = indextest.Service{Port: 80, Endpoints: 1}
			}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			for i := range int64(120) {
				randomRolloutChange(t, rng, w, x, i+1)
				if rng.IntN(3) > 0 {
					indextest.Publish(x, out)
				}
				checkViews(t, x)
			}
			indextest.Publish(x, out)
			want := w.ExpectedOf(func(id policy.ID, node string) *compile.Source { return versionOn(x, id, node) })
			if diff := cmp.Diff(want, out, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}), cmpopts.IgnoreFields(policy.Workload{}, "Profile"),
				cmpopts.IgnoreFields(indextest.Published{}, "Profiles")); diff != "" {
				t.Error(diff)
			}
			for uid, pod := range out.Workloads {
				got, wanted := *out.Profiles[pod.Profile], *want.Profiles[want.Workloads[uid].Profile]
				got.Name, wanted.Name = "", ""
				if diff := cmp.Diff(wanted, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); diff != "" {
					t.Errorf("%s: %s", uid, diff)
				}
			}
			if d := out.Dangling(w); d != nil {
				t.Errorf("dangling %v", d)
			}
		})
	}
}

// versionOn returns what is to be in force on a node; nil for nothing.
func versionOn(x *index.Index, id policy.ID, node string) *compile.Source {
	v, ok := x.Rollout(id)
	if ok && v.State != nil && !rollout.Reaches(v.State, string(v.UID), node) {
		if v.Stable == nil {
			return &compile.Source{ID: id, Mode: v1alpha1.ModeDisabled}
		}
		return v.Stable
	}
	return nil
}

func randomRolloutChange(t *testing.T, rng *rand.Rand, w *indextest.World, x *index.Index, generation int64) {
	ns := fmt.Sprintf("n%d", rng.IntN(2))
	switch rng.IntN(6) {
	case 0:
		randomNamespace(rng, w, x, ns)()
	case 1, 2:
		randomPod(rng, w, x, ns)()
	case 3:
		src := randomPolicy(t, rng, ns, generation)
		uid := types.UID(src.ID.String())
		if src.Rollout = &(v1alpha1.Rollout{Percent: 1 + rng.Int32N(100)}); rng.IntN(4) == 0 {
			src.Rollout = nil
		}
		if rng.IntN(8) == 0 {
			delete(w.Policies, src.ID)
			x.DeletePolicy(src.ID)
			return
		}
		w.Policies[src.ID] = indextest.Policy{UID: uid, Source: src}
		x.SetPolicy(uid, src)
	default:
		x.ResolveConflicts()
		for id := range w.Policies {
			v, ok := x.Rollout(id)
			if !ok || v.State == nil || rng.IntN(2) == 0 {
				continue
			}
			in := rollout.Input{UID: string(v.UID), Kept: true, Acknowledged: true}
			for node := range v.Nodes {
				in.Nodes = append(in.Nodes, node)
			}
			if rng.IntN(6) == 0 {
				in.Refusal = "no"
			}
			if rng.IntN(3) == 0 {
				in.Observed = rollout.ObserveFor(v.Spec)
			}
			next := rollout.Next(v.Spec, *v.State, &in)
			x.SetRollout(id, v.UID, &next)
		}
	}
}

// What the annotation says about circuit breakers holds on all nodes at once, whatever version of the policy they have.
func TestForcedBreakersAreNotRolledOut(t *testing.T) {
	x, out, id := rolledOutWorld(t)
	src := indextest.RetryPolicy(t, "shop", "p", 2, fmt.Sprintf(rolledOut, 2))
	x.SetPolicy("p", src)
	indextest.Publish(x, out)
	s := step(t, x, out, id, rollout.Input{})
	src.Forced = compile.Forced{Entry: -1, ForcedBreaker: policy.ForcedBreaker{Open: true, Until: 1 << 40}}
	x.SetPolicy("p", src)
	indextest.Publish(x, out)
	retriesOn(t, out, "p", &s, 2, 1)
	for name, p := range out.Profiles {
		if !p.Bindings[0].ForcedBreaker.Open {
			t.Errorf("%s: breakers are not forced", name)
		}
	}
}
