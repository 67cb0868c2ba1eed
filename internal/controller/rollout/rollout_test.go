package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"fairlead.dev/fairlead/api/v1alpha1"
)

var begin0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func nodes(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("node-%d", i))
	}
	return out
}

// As many nodes get a change first as the share says: one at least, and never all where the share is not all.
func TestTheShareIsThatOfTheNodes(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for percent := int32(1); percent <= 100; percent++ {
			want := max((n*int(percent)+99)/100, 1)
			if percent < 100 && n > 1 {
				want = min(want, n-1)
			}
			uid := fmt.Sprintf("policy-%d", n)
			if got := count(uid, nodes(n), Boundary(uid, nodes(n), percent)); got != want {
				t.Fatalf("%d %% of %d nodes are %d, want %d", percent, n, got, want)
			}
		}
	}
}

// Which nodes they are depends on the policy and on no other node.
func TestNodesAreChosenAlike(t *testing.T) {
	first := func(uid string, of []string) (out []string) {
		b := Boundary(uid, of, 25)
		for _, n := range of {
			if Hash(uid, n) <= b {
				out = append(out, n)
			}
		}
		slices.Sort(out)
		return out
	}
	all := nodes(20)
	shuffled := slices.Clone(all)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if a, b := first("a", all), first("a", shuffled); !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
	if a, b := first("a", all), first("b", all); slices.Equal(a, b) {
		t.Errorf("two policies try changes on the same nodes: %v", a)
	}
}

func calls(n int64, percent float64) v1alpha1.RolloutCalls {
	return v1alpha1.RolloutCalls{Calls: n, Successes: int64(float64(n) * percent / 100)}
}

func TestAChangeIsWorseWhenTheCallsShowIt(t *testing.T) {
	for name, tc := range map[string]struct {
		changed, others, before v1alpha1.RolloutCalls
		drop                    int32
		early, last             bool
	}{
		"all fail":                     {calls(50, 0), calls(500, 100), calls(0, 0), 2, true, true},
		"too few calls":                {calls(49, 0), calls(500, 100), calls(500, 100), 2, false, false},
		"nothing to compare with":      {calls(500, 0), calls(49, 100), calls(49, 100), 2, false, false},
		"just enough to compare with":  {calls(50, 0), calls(50, 100), calls(0, 0), 2, true, true},
		"compared with before":         {calls(500, 50), calls(49, 100), calls(500, 100), 2, true, true},
		"others come first":            {calls(500, 50), calls(500, 50), calls(500, 100), 2, false, false},
		"equal":                        {calls(5000, 99.5), calls(5000, 99.5), calls(0, 0), 2, false, false},
		"better":                       {calls(5000, 99.5), calls(5000, 90), calls(0, 0), 2, false, false},
		"by less than is allowed":      {calls(100000, 98.5), calls(100000, 100), calls(0, 0), 2, false, false},
		"by little more, many calls":   {calls(100000, 97.5), calls(100000, 100), calls(0, 0), 2, true, true},
		"by little more, few calls":    {calls(60, 97.5), calls(60, 100), calls(0, 0), 2, false, false},
		"by more, seen at the end":     {calls(60, 86), calls(600, 100), calls(0, 0), 2, false, true},
		"by as much as nobody forbids": {calls(5000, 0), calls(5000, 100), calls(0, 0), 100, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &v1alpha1.RolloutStatus{Changed: tc.changed, Others: tc.others, Before: tc.before}
			if early, last := worse(s, tc.drop, certain), worse(s, tc.drop, likely); early != tc.early || last != tc.last {
				t.Errorf("early %v, last %v", early, last)
			}
		})
	}
}

// simulation drives a rollout over some nodes whose calls succeed with a probability each.
type simulation struct {
	rng             *rand.Rand
	spec            v1alpha1.Rollout
	in              Input
	state           v1alpha1.RolloutStatus
	changed, others float64
	perStep         int
}

func (s *simulation) sample(n int, p float64) v1alpha1.RolloutCalls {
	out := v1alpha1.RolloutCalls{Calls: int64(n)}
	for range n {
		if s.rng.Float64() < p {
			out.Successes++
		}
	}
	return out
}

func (s *simulation) run() v1alpha1.RolloutPhase {
	for UnderWay(&s.state) {
		if s.state.Phase == v1alpha1.RolloutObserving {
			s.in.Now, s.in.Observed = s.in.Now.Add(5*time.Second), s.in.Observed+5*time.Second
			s.in.Changed, s.in.Others = s.sample(s.perStep, s.changed), s.sample(2*s.perStep, s.others)
		}
		s.state = Next(&s.spec, s.state, &s.in)
	}
	return s.state.Phase
}

func newSimulation(seed uint64, changed, others float64, perStep int) *simulation {
	return &simulation{
		rng: rand.New(rand.NewPCG(seed, 7)), spec: v1alpha1.Rollout{Percent: 10}, state: Start(2), changed: changed, others: others, perStep: perStep,
		in: Input{Now: begin0, UID: "u", Nodes: nodes(3), Kept: true, Acknowledged: true},
	}
}

// Chance does not take back a change that changes nothing, however often it is looked at; and what is worse is found.
func TestChanceDoesNotTakeAChangeBack(t *testing.T) {
	for name, tc := range map[string]struct {
		changed, others float64
		perStep         int
		least, most     int // of 1000 are rolled back
	}{
		"few calls that always succeed":  {1, 1, 1, 0, 0},
		"few calls, some of which fail":  {0.95, 0.95, 1, 0, 20},
		"calls half of which fail":       {0.5, 0.5, 5, 0, 20},
		"many calls, some of which fail": {0.95, 0.95, 100, 0, 0},
		"as much worse as is allowed":    {0.97, 0.99, 20, 0, 80},
		"twenty points worse":            {0.79, 0.99, 5, 990, 1000},
		"five points worse, many calls":  {0.94, 0.99, 100, 990, 1000},
		"all fail":                       {0, 1, 1, 1000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			back := 0
			for seed := range uint64(1000) {
				if newSimulation(seed, tc.changed, tc.others, tc.perStep).run() == v1alpha1.RolloutRolledBack {
					back++
				}
			}
			if back < tc.least || back > tc.most {
				t.Errorf("%d of 1000 are rolled back, want %d to %d", back, tc.least, tc.most)
			}
		})
	}
}

// A change that fails everywhere it is in force is taken back long before its observation ends.
//
//enforces:agent rollout.abortOn.successRateDropPercent
func TestABadChangeIsTakenBackEarly(t *testing.T) {
	for drop, want := range map[int32]v1alpha1.RolloutPhase{2: v1alpha1.RolloutRolledBack, 100: v1alpha1.RolloutComplete} {
		s := newSimulation(1, 0, 1, 20)
		s.spec.AbortOn = &v1alpha1.RolloutAbort{SuccessRateDropPercent: ptr.To(drop)}
		if got := s.run(); got != want {
			t.Errorf("with a drop of %d: %s", drop, got)
		}
		if want == v1alpha1.RolloutRolledBack && s.in.Observed > 15*time.Second {
			t.Errorf("taken back after %s", s.in.Observed)
		}
		if want := "0.00% of "; s.state.Message[:len(want)] != want {
			t.Errorf("message %q", s.state.Message)
		}
	}
}

// The whole course, step by step.
//
//enforces:agent rollout.percent rollout.observe
func TestTheCourseOfARollout(t *testing.T) {
	spec := &v1alpha1.Rollout{Percent: 50, Observe: "1m"}
	in := &Input{Now: begin0, UID: "u", Nodes: nodes(4)}
	s := Start(7)
	step := func(want v1alpha1.RolloutPhase, reached int) {
		t.Helper()
		s = Next(spec, s, in)
		n := 0
		for _, node := range in.Nodes {
			if Reaches(&s, in.UID, node) {
				n++
			}
		}
		if s.Phase != want || n != reached {
			t.Fatalf("%s on %d nodes, want %s on %d", s.Phase, n, want, reached)
		}
	}
	step(v1alpha1.RolloutPending, 0) // what is in force is not kept yet
	in.Kept = true
	step(v1alpha1.RolloutUpdating, 2)
	step(v1alpha1.RolloutUpdating, 2) // nobody has acknowledged it
	in.Acknowledged = true
	step(v1alpha1.RolloutObserving, 2)
	if want := begin0.Add(time.Minute); !s.Until.Equal(ptr.To(metav1.NewTime(want))) {
		t.Errorf("until %s, want %s", s.Until, want)
	}
	in.Observed = 59 * time.Second
	in.Now = begin0.Add(in.Observed)
	step(v1alpha1.RolloutObserving, 2)
	// The manager was away: what it did not see does not count.
	in.Now = in.Now.Add(time.Hour)
	step(v1alpha1.RolloutObserving, 2)
	if want := in.Now.Add(time.Second); !s.Until.Equal(ptr.To(metav1.NewTime(want))) {
		t.Errorf("until %s, want %s", s.Until, want)
	}
	in.Observed = time.Minute
	step(v1alpha1.RolloutComplete, 4)
	if want := "It could not be judged: only 0 calls ended where it was in force, and it takes 50."; s.Message != want {
		t.Errorf("message %q", s.Message)
	}
	step(v1alpha1.RolloutComplete, 4)
}

func TestARefusalTakesAChangeBack(t *testing.T) {
	for _, phase := range []v1alpha1.RolloutPhase{v1alpha1.RolloutUpdating, v1alpha1.RolloutObserving} {
		in := &Input{Now: begin0, UID: "u", Nodes: nodes(2), Kept: true, Acknowledged: phase == v1alpha1.RolloutObserving}
		spec, s := &v1alpha1.Rollout{Percent: 1}, Start(2)
		for s.Phase != phase {
			s = Next(spec, s, in)
		}
		in.Refusal = "Node node-0 refused it (Invalid: seven is too many)."
		if s = Next(spec, s, in); s.Phase != v1alpha1.RolloutRolledBack || s.Message != in.Refusal {
			t.Errorf("from %s: %+v", phase, s)
		}
	}
}

// Nodes come and go: where none is left of those that had the change, others get it, and the observation begins again.
func TestTheObservationBeginsAgainOnOtherNodes(t *testing.T) {
	in := &Input{Now: begin0, UID: "u", Nodes: nodes(10), Kept: true, Acknowledged: true}
	spec, s := &v1alpha1.Rollout{Percent: 10}, Start(2)
	for range 3 {
		s = Next(spec, s, in)
	}
	in.Observed, in.Changed = time.Minute, calls(10, 100)
	s = Next(spec, s, in)
	first := slices.IndexFunc(in.Nodes, func(n string) bool { return Reaches(&s, in.UID, n) })
	in.Nodes = slices.Delete(in.Nodes, first, first+1)
	if s = Next(spec, s, in); s.Phase != v1alpha1.RolloutUpdating || s.Nodes != 1 || s.Changed.Calls != 0 || s.ObservedSeconds != 0 {
		t.Errorf("%+v", s)
	}
	in.Nodes = nil
	if s = Next(spec, s, in); s.Phase != v1alpha1.RolloutComplete {
		t.Errorf("without nodes: %+v", s)
	}
}

// Whatever happens, phases come in order, and what has ended stays as it is; and a rollout goes on from a state that was stored.
func TestPhasesComeInOrder(t *testing.T) {
	order := []v1alpha1.RolloutPhase{
		v1alpha1.RolloutPending, v1alpha1.RolloutUpdating, v1alpha1.RolloutObserving, v1alpha1.RolloutRolledBack, v1alpha1.RolloutComplete,
	}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		spec := &v1alpha1.Rollout{Percent: 1 + rng.Int32N(100), Observe: "30s"}
		in := &Input{Now: begin0, UID: fmt.Sprint(seed)}
		s := Start(3)
		for range 40 {
			in.Now = in.Now.Add(time.Duration(rng.IntN(10)) * time.Second)
			in.Nodes, in.Kept, in.Acknowledged = nodes(rng.IntN(5)), rng.IntN(3) > 0, rng.IntN(3) > 0
			if in.Refusal = ""; rng.IntN(40) == 0 {
				in.Refusal = "no"
			}
			if s.Phase == v1alpha1.RolloutObserving {
				in.Observed += time.Duration(rng.IntN(5)) * time.Second
				in.Changed, in.Others = calls(int64(rng.IntN(40)), 90), calls(int64(rng.IntN(40)), 100)
			} else {
				in.Observed = 0
			}
			next := Next(spec, s, in)
			before, after := slices.Index(order, s.Phase), slices.Index(order, next.Phase)
			if !UnderWay(&s) && !cmp.Equal(next, s) {
				t.Fatalf("seed %d: %+v goes on to %+v", seed, s, next)
			}
			if after < before && !(s.Phase == v1alpha1.RolloutObserving && next.Phase == v1alpha1.RolloutUpdating) {
				t.Fatalf("seed %d: %s follows %s", seed, next.Phase, s.Phase)
			}
			if next.Phase == v1alpha1.RolloutUpdating && next.Nodes == next.AllNodes && next.AllNodes > 1 && spec.Percent < 100 && s.Phase != next.Phase {
				t.Fatalf("seed %d: begins on all %d nodes", seed, next.AllNodes)
			}
			s = *next.DeepCopy()
		}
		if s.Generation != 3 {
			t.Fatalf("generation %d", s.Generation)
		}
	}
}
