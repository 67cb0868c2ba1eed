package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

// fakeServer holds RetryPolicies and takes their status. Its cache shows what was written after lag further writes.
type fakeServer struct {
	client.Client
	objects map[string]*v1alpha1.RetryPolicy
	cached  map[string]*v1alpha1.RetryPolicy
	lag     int
	writes  []v1alpha1.PolicyStatus
	wrote   func(name string) // may be nil
}

func (s *fakeServer) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	s.cached[key.String()].DeepCopyInto(obj.(*v1alpha1.RetryPolicy))
	return nil
}

func (s *fakeServer) Status() client.SubResourceWriter { return fakeStatus{server: s} }

type fakeStatus struct {
	client.SubResourceWriter
	server *fakeServer
}

func (f fakeStatus) Apply(_ context.Context, obj runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	applied := &v1alpha1.RetryPolicy{}
	if err := json.Unmarshal(text, applied); err != nil {
		return err
	}
	s := f.server
	key := applied.Namespace + "/" + applied.Name
	stored := s.objects[key]
	if applied.ResourceVersion != stored.ResourceVersion {
		return apierrors.NewConflict(schema.GroupResource{Resource: "retrypolicies"}, applied.Name, fmt.Errorf("version %q", applied.ResourceVersion))
	}
	s.writes = append(s.writes, applied.Status)
	if s.wrote != nil {
		s.wrote(key)
	}
	version, _ := strconv.Atoi(stored.ResourceVersion)
	stored.ResourceVersion = strconv.Itoa(version + 1)
	stored.Status = applied.Status
	if s.lag == 0 {
		s.cached[key] = stored.DeepCopy()
	}
	obj.(interface{ SetResourceVersion(string) }).SetResourceVersion(stored.ResourceVersion)
	return nil
}

// fakeAgents report what the test sets.
type fakeAgents struct {
	rollout distribute.Rollout
	of      map[policy.ID]distribute.Rollout // instead of rollout
	figures map[policy.ID]distribute.Figures
	behind  map[uint64]int // by publication
	asked   int            // how often Rollout was called
}

func (a *fakeAgents) Rollout(id policy.ID) distribute.Rollout {
	a.asked++
	if r, ok := a.of[id]; ok {
		return r
	}
	return a.rollout
}

func (a *fakeAgents) Traffic(id policy.ID) distribute.Figures { return a.figures[id] }
func (a *fakeAgents) Behind(publication uint64) int           { return a.behind[publication] }

// statusHarness is a status reconciler with a fake cluster around it.
type statusHarness struct {
	*statusReconciler
	t        *testing.T
	server   *fakeServer
	agents   *fakeAgents
	clock    *testclock.FakePassiveClock
	recorder *events.FakeRecorder
	written  map[status.Change]int
}

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newStatusHarness makes policies shop/p0 … that govern one pod each on one node, which has acknowledged them.
func newStatusHarness(t *testing.T, policies int, spec string) *statusHarness {
	h := &statusHarness{
		t:        t,
		server:   &fakeServer{objects: map[string]*v1alpha1.RetryPolicy{}, cached: map[string]*v1alpha1.RetryPolicy{}},
		agents:   &fakeAgents{rollout: distribute.Rollout{Desired: 1, Programmed: 1}, figures: map[policy.ID]distribute.Figures{}},
		clock:    testclock.NewFakePassiveClock(begin),
		recorder: events.NewFakeRecorder(1000 + 10*policies),
		written:  map[status.Change]int{},
	}
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		x.SetPolicy(types.UID(name), indextest.RetryPolicy(t, "shop", name, 1, fmt.Sprintf(spec, name)))
		p := &v1alpha1.RetryPolicy{}
		p.Namespace, p.Name, p.UID, p.Generation, p.ResourceVersion = "shop", name, types.UID(name), 1, "1"
		h.server.objects["shop/"+name], h.server.cached["shop/"+name] = p, p.DeepCopy()
	}
	x.ResolveConflicts()
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		x.SetPod(indextest.RunningPod("shop", name, "node-1", name))
	}
	indextest.Publish(x, indextest.NewPublished())
	x.Published(1)
	h.statusReconciler = &statusReconciler{
		client: h.server, index: x, agents: h.agents, recorder: h.recorder, clock: h.clock,
		schedule: defaultWriteSchedule(), wrote: func(c status.Change) { h.written[c]++ }, records: map[policy.ID]*statusRecord{},
	}
	return h
}

const onePolicy = `{podSelector: {matchLabels: {app: %s}}, to: [{any: {}}], circuitBreaker: {consecutiveFailures: 5}}`

func (h *statusHarness) run(name string) reconcile.Result {
	h.t.Helper()
	r, err := h.Reconcile(h.t.Context(), policy.ParseID(name))
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// runUntilWritten runs until there is nothing to write.
func (h *statusHarness) runUntilWritten(name string) {
	h.t.Helper()
	for range 3 {
		h.run(name)
	}
}

// giveTurns gives the turns that can be given now.
func (h *statusHarness) giveTurns() {
	h.t.Helper()
	for {
		id, _, ok := h.schedule.next(h.clock.Now())
		if !ok {
			return
		}
		h.run(id.String())
	}
}

// advance lets d go by, second by second, and calls each before the turns of that second are given.
func (h *statusHarness) advance(d time.Duration, each func(second int)) {
	h.t.Helper()
	from := h.clock.Now()
	for second := 1; second <= int(d/time.Second); second++ {
		h.clock.SetTime(from.Add(time.Duration(second) * time.Second))
		if each != nil {
			each(second)
		}
		h.giveTurns()
	}
}

// traffic has agents report calls under a policy and so many open breakers.
func (h *statusHarness) traffic(name string, requests uint64, open int) {
	id := policy.ParseID(name)
	b := h.agents.figures[id].Breakers
	if b.Open > 0 && open == 0 {
		b.Closings++
	}
	h.breakers(name, requests, distribute.Breakers{Open: open, Closings: b.Closings})
}

// breakers has agents report calls under a policy, whose breakers are such.
func (h *statusHarness) breakers(name string, requests uint64, b distribute.Breakers) {
	t := distribute.TargetFigures{Target: "any", Counts: policy.Counts{Requests: requests, Successes: requests}, Breakers: b}
	h.agents.figures[policy.ParseID(name)] = distribute.Figures{AsOf: h.clock.Now(), Breakers: b, Targets: []distribute.TargetFigures{t}}
}

func (h *statusHarness) events() []string {
	var out []string
	for {
		select {
		case e := <-h.recorder.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

func ready(s *v1alpha1.PolicyStatus) string {
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	return string(c.Status) + "/" + c.Reason
}
