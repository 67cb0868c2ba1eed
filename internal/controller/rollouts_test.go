package controller

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// rolloutHarness is a rollout reconciler with pods on three nodes whose agents acknowledge all, and calls that the test makes.
type rolloutHarness struct {
	*rolloutReconciler
	t         *testing.T
	out       *indextest.Published
	clock     *testclock.FakePassiveClock
	id        policy.ID
	revisions *fake.Clientset
	counted   map[policy.ID]distribute.Comparison
	calls     distribute.Compared // the next that are asked for
	refused   bool
	before    distribute.Figures
}

const tried = `{to: [{any: {}}], retry: {maxRetries: %d}, rollout: {percent: 1, observe: 1m}}`

func (h *rolloutHarness) Rollout(id policy.ID) distribute.Rollout {
	nodes := map[string]bool{}
	for uid, node := range h.out.Nodes {
		name := h.out.Workloads[uid].Profile
		if next := name == index.NextID(h.id).String(); next == (id == index.NextID(h.id)) || id == h.id {
			nodes[node] = true
		}
	}
	r := distribute.Rollout{Desired: len(nodes), Programmed: len(nodes)}
	if h.refused && r.Desired > 0 {
		r.Programmed, r.Failed, r.Failures = r.Desired-1, 1, []distribute.Failure{{Node: "node-0", Message: "seven is too many"}}
	}
	return r
}

func (h *rolloutHarness) Traffic(policy.ID) distribute.Figures { return h.before }
func (h *rolloutHarness) StartComparison(id policy.ID, c distribute.Comparison) {
	h.counted[id] = c
}
func (h *rolloutHarness) EndComparison(id policy.ID) { delete(h.counted, id) }
func (h *rolloutHarness) Compared(policy.ID) distribute.Compared {
	defer func() { h.calls = distribute.Compared{} }()
	return h.calls
}

func newRolloutHarness(t *testing.T) *rolloutHarness {
	h := &rolloutHarness{
		t: t, clock: testclock.NewFakePassiveClock(begin), id: policy.ParseID("shop/p"), revisions: fake.NewClientset(), counted: map[policy.ID]distribute.Comparison{},
	}
	h.restart(0, 1, nil)
	h.set(1, 1)
	h.run()
	return h
}

// restart has another manager take over, given what the status says; the agents keep what they have.
func (h *rolloutHarness) restart(inForce, generation int64, state *v1alpha1.RolloutStatus) {
	h.t.Helper()
	h.out = indextest.NewPublished()
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	h.rolloutReconciler = &rolloutReconciler{
		index: x, agents: h, kept: &revisions{client: h.revisions.AppsV1().ControllerRevisions("fairlead-system")}, clock: h.clock, logger: slog.New(slog.DiscardHandler),
		changed: func() { indextest.Publish(x, h.out); x.Published(1) }, statuses: func([]policy.ID) {},
		observed: map[policy.ID]*observedRollout{}, uids: map[policy.ID]types.UID{},
	}
	if inForce > 0 {
		policies := []loadedPolicy{{"p", indextest.RetryPolicy(h.t, "shop", "p", generation, fmt.Sprintf(tried, generation))}}
		policies[0].InForce, policies[0].RolledOut = inForce, state
		if err := restorePrevious(h.t.Context(), h.kept, policies); err != nil {
			h.t.Fatal(err)
		}
		x.SetPolicy("p", policies[0].Source)
	}
	for i := range 3 {
		x.SetPod(indextest.RunningPod("shop", fmt.Sprint("pod-", i), fmt.Sprint("node-", i), "a"))
	}
	h.changed()
}

func (h *rolloutHarness) set(generation int64, n int) {
	h.index.SetPolicy("p", indextest.RetryPolicy(h.t, "shop", "p", generation, fmt.Sprintf(tried, n)))
	h.changed()
}

// run reconciles until nothing follows at once.
func (h *rolloutHarness) run() reconcile.Result {
	h.t.Helper()
	var r reconcile.Result
	for range 4 {
		var err error
		if r, err = h.Reconcile(h.t.Context(), h.id); err != nil {
			h.t.Fatal(err)
		}
	}
	return r
}

// observeFor lets time go by with calls of which so many succeed per hundred.
func (h *rolloutHarness) observeFor(d time.Duration, changed, others uint64) {
	h.t.Helper()
	for end := h.clock.Now().Add(d); h.clock.Now().Before(end); {
		h.clock.SetTime(h.clock.Now().Add(5 * time.Second))
		h.calls = distribute.Compared{On: distribute.CallCount{Calls: 100, Successes: changed}, Others: distribute.CallCount{Calls: 100, Successes: others}}
		h.run()
	}
}

func (h *rolloutHarness) phase() v1alpha1.RolloutPhase { return h.state().Phase }

func (h *rolloutHarness) state() *v1alpha1.RolloutStatus {
	v, ok := h.index.View(h.id)
	if !ok || v.Rollout == nil {
		return &v1alpha1.RolloutStatus{}
	}
	return v.Rollout
}

// retries returns how many retries the pods of the nodes have, in order.
func (h *rolloutHarness) retries() []int {
	var out []int
	for i := range 3 {
		for uid, node := range h.out.Nodes {
			if node == fmt.Sprint("node-", i) {
				out = append(out, h.out.Profiles[h.out.Workloads[uid].Profile].Bindings[0].Base.Retry.MaxRetries)
			}
		}
	}
	return out
}

func (h *rolloutHarness) keptNames() []string {
	h.t.Helper()
	list, err := h.revisions.AppsV1().ControllerRevisions("fairlead-system").List(h.t.Context(), metav1.ListOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	slices.Sort(out)
	return out
}

func (h *rolloutHarness) expect(phase v1alpha1.RolloutPhase, retries map[int]int) {
	h.t.Helper()
	got := map[int]int{}
	for _, n := range h.retries() {
		got[n]++
	}
	if h.phase() != phase || fmt.Sprint(got) != fmt.Sprint(retries) {
		h.t.Fatalf("%s, nodes by retries %v; want %s, %v", h.phase(), got, phase, retries)
	}
}

// everywhere has generation 1 come to all nodes, and generation 2 to one of them.
func everywhere(t *testing.T) *rolloutHarness {
	h := newRolloutHarness(t)
	h.observeFor(time.Minute, 100, 100)
	h.expect(v1alpha1.RolloutComplete, map[int]int{1: 3})
	h.set(2, 2)
	h.expect(v1alpha1.RolloutPending, map[int]int{1: 3})
	h.run()
	h.expect(v1alpha1.RolloutObserving, map[int]int{1: 2, 2: 1})
	return h
}

func TestAGoodChangeComesToAllNodes(t *testing.T) {
	h := everywhere(t)
	if h.counted[h.id].On == nil {
		t.Error("calls are not counted apart")
	}
	h.observeFor(55*time.Second, 99, 99)
	h.expect(v1alpha1.RolloutObserving, map[int]int{1: 2, 2: 1})
	h.observeFor(5*time.Second, 99, 99)
	h.expect(v1alpha1.RolloutComplete, map[int]int{2: 3})
	h.run()
	if got := h.keptNames(); !slices.Equal(got, []string{"fairlead-policy-p-1", "fairlead-policy-p-2"}) || len(h.counted) > 0 {
		t.Errorf("kept %v, counted %d", got, len(h.counted))
	}
	h.index.DeletePolicy(h.id)
	h.changed()
	h.run()
	if got := h.keptNames(); len(got) != 0 {
		t.Errorf("kept after the end of the policy: %v", got)
	}
}

func TestABadChangeIsTakenBack(t *testing.T) {
	h := everywhere(t)
	h.observeFor(10*time.Second, 50, 99)
	h.expect(v1alpha1.RolloutRolledBack, map[int]int{1: 3})
	h.observeFor(time.Hour, 100, 100)
	h.expect(v1alpha1.RolloutRolledBack, map[int]int{1: 3})
	h.set(3, 3)
	h.run()
	h.expect(v1alpha1.RolloutObserving, map[int]int{1: 2, 3: 1})
	h.set(4, 1)
	if got := h.retries(); !slices.Equal(got, []int{1, 1, 1}) {
		t.Errorf("what was in force is not at once: %v", got)
	}
}

func TestAChangeThatANodeRefusesIsTakenBack(t *testing.T) {
	h := everywhere(t)
	h.refused = true
	h.run()
	h.expect(v1alpha1.RolloutRolledBack, map[int]int{1: 3})
}

// A manager that starts goes on with what the status says, and with what was kept.
func TestAManagerThatStartsGoesOnWithARollout(t *testing.T) {
	h := everywhere(t)
	h.observeFor(30*time.Second, 99, 99)
	before, state := h.retries(), h.state()
	h.restart(1, 2, state)
	if got := h.retries(); !slices.Equal(got, before) {
		t.Fatalf("nodes have %v, want %v", got, before)
	}
	h.clock.SetTime(h.clock.Now().Add(time.Hour)) // nobody observed that
	h.observeFor(30*time.Second, 99, 99)
	h.expect(v1alpha1.RolloutObserving, map[int]int{1: 2, 2: 1})
	if got := h.state().Changed.Calls; got != 1200 {
		t.Errorf("%d calls counted, want those of both managers", got)
	}
	h.observeFor(5*time.Second, 99, 99)
	h.expect(v1alpha1.RolloutComplete, map[int]int{2: 3})

	// Edited while nobody led.
	h.restart(2, 3, h.state())
	h.run()
	h.expect(v1alpha1.RolloutObserving, map[int]int{2: 2, 3: 1})

	// What was taken back is not tried again.
	h.observeFor(10*time.Second, 10, 100)
	h.restart(2, 3, h.state())
	h.run()
	h.expect(v1alpha1.RolloutRolledBack, map[int]int{2: 3})
}

// What cannot be kept is not tried, and what is kept of policies that went while nobody led is deleted.
func TestWhatIsInForceIsKept(t *testing.T) {
	h := newRolloutHarness(t)
	h.observeFor(time.Minute, 100, 100)
	src := indextest.RetryPolicy(t, "shop", "gone", 4, fmt.Sprintf(tried, 1))
	if err := h.kept.keep(t.Context(), "gone", &src); err != nil {
		t.Fatal(err)
	}
	h.restart(1, 2, nil)
	h.run()
	if got := h.keptNames(); !slices.Equal(got, []string{"fairlead-policy-p-1"}) {
		t.Errorf("kept %v", got)
	}
	back, err := h.kept.get(t.Context(), h.id, "p", 1)
	if err != nil || back == nil || back.Body.Retry == nil || *back.Body.Retry.MaxRetries != 1 || back.Generation != 1 {
		t.Errorf("kept %+v, %v", back, err)
	}
	if _, err := compile.DecodeSource(policy.ParseID("shop/q"), []byte(`{"metadata": {"namespace": "shop", "name": "p"}}`)); err == nil {
		t.Error("another policy's version is taken for this one's")
	}
}
