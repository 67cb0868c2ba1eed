package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// fakeAgents say what they are told to.
type fakeAgents struct {
	rollout distribute.Rollout
	figures map[policy.ID]distribute.Figures
	behind  map[uint64]int // by publication
	asked   int            // how often a policy was looked at
}

func (a *fakeAgents) Rollout(policy.ID) distribute.Rollout {
	a.asked++
	return a.rollout
}

func (a *fakeAgents) Traffic(id policy.ID) distribute.Figures { return a.figures[id] }
func (a *fakeAgents) Behind(publication uint64) int           { return a.behind[publication] }

// bureau is a clerk with a world around it.
type bureau struct {
	*clerk
	t        *testing.T
	server   *fakeServer
	agents   *fakeAgents
	clock    *testclock.FakePassiveClock
	recorder *events.FakeRecorder
	written  map[writeClass]int
}

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newBureau makes policies shop/p0 … that govern one pod each on one node, which has acknowledged them.
func newBureau(t *testing.T, policies int, spec string) *bureau {
	b := &bureau{
		t:        t,
		server:   &fakeServer{objects: map[string]*v1alpha1.RetryPolicy{}, cached: map[string]*v1alpha1.RetryPolicy{}},
		agents:   &fakeAgents{rollout: distribute.Rollout{Desired: 1, Programmed: 1}, figures: map[policy.ID]distribute.Figures{}},
		clock:    testclock.NewFakePassiveClock(begin),
		recorder: events.NewFakeRecorder(1000 + 10*policies),
		written:  map[writeClass]int{},
	}
	x := newIndex(newWorld(), "fairlead-system")
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		x.setPolicy(types.UID(name), retryPolicy(t, "shop", name, 1, fmt.Sprintf(spec, name)))
		p := &v1alpha1.RetryPolicy{}
		p.Namespace, p.Name, p.UID, p.Generation, p.ResourceVersion = "shop", name, types.UID(name), 1, "1"
		b.server.objects["shop/"+name], b.server.cached["shop/"+name] = p, p.DeepCopy()
	}
	x.settleAll()
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		x.setPod(testPod("shop", name, "node-1", name))
	}
	x.flush(newPublished())
	x.published(1)
	b.clerk = &clerk{
		client: b.server, index: x, agents: b.agents, recorder: b.recorder, clock: b.clock,
		turns: newTurns(writesPerSecond, writeBurst), writes: func(c writeClass) { b.written[c]++ }, files: map[policy.ID]*file{},
	}
	return b
}

const onePolicy = `{podSelector: {matchLabels: {app: %s}}, to: [{any: {}}], circuitBreaker: {consecutiveFailures: 5}}`

func (b *bureau) look(name string) reconcile.Result {
	b.t.Helper()
	r, err := b.Reconcile(b.t.Context(), policy.ParseID(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// settle looks until there is nothing to write.
func (b *bureau) settle(name string) {
	b.t.Helper()
	for range 3 {
		b.look(name)
	}
}

// serve gives the turns that can be given now.
func (b *bureau) serve() {
	b.t.Helper()
	for {
		id, _, ok := b.turns.next(b.clock.Now())
		if !ok {
			return
		}
		b.look(id.String())
	}
}

// pass lets d go by, second by second, and calls each before the turns of that second are given.
func (b *bureau) pass(d time.Duration, each func(second int)) {
	b.t.Helper()
	from := b.clock.Now()
	for second := 1; second <= int(d/time.Second); second++ {
		b.clock.SetTime(from.Add(time.Duration(second) * time.Second))
		if each != nil {
			each(second)
		}
		b.serve()
	}
}

func (b *bureau) traffic(name string, requests uint64, open int) {
	t := distribute.TargetFigures{Target: "any", Counts: policy.Counts{Requests: requests, Successes: requests}, Breakers: distribute.Breakers{Open: open}}
	b.agents.figures[policy.ParseID(name)] = distribute.Figures{AsOf: b.clock.Now(), Targets: []distribute.TargetFigures{t}}
}

func (b *bureau) events() []string {
	var out []string
	for {
		select {
		case e := <-b.recorder.Events:
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

func TestFirstAnswerIsNotReady(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	if r := b.look("shop/p0"); r.RequeueAfter == 0 || r.RequeueAfter > time.Second {
		t.Errorf("looks again after %s", r.RequeueAfter)
	}
	b.settle("shop/p0")
	var got []string
	for i := range b.server.writes {
		got = append(got, ready(&b.server.writes[i]))
	}
	if diff := cmp.Diff([]string{"False/WaitingForNodes", "True/Ready"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAcknowledgementsOfTheGenerationBeforeDoNotCount(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.server.writes = nil
	b.index.setPolicy("p0", retryPolicy(t, "shop", "p0", 2, fmt.Sprintf(onePolicy, "p0")))
	b.look("shop/p0")
	b.index.flush(newPublished())
	b.look("shop/p0")
	if len(b.server.writes) > 0 {
		t.Fatalf("the new generation is said to be %s before agents were given it", ready(&b.server.writes[0]))
	}
	b.index.published(2)
	b.look("shop/p0")
	if n := len(b.server.writes); n != 1 || b.server.writes[0].ObservedGeneration != 2 {
		t.Errorf("%d writes after it was published, want one about generation 2", n)
	}
}

func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.traffic("shop/p0", 7, 0)
	b.pass(20*time.Second, nil)
	before := len(b.server.writes)
	b.pass(500*time.Second, func(int) { b.traffic("shop/p0", 7, 0) })
	if n := len(b.server.writes) - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestTrafficIsWrittenAtMostEveryTenSeconds(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	before := *meta.FindStatusCondition(b.server.objects["shop/p0"].Status.Conditions, v1alpha1.ConditionReady)
	b.pass(120*time.Second, func(second int) { b.traffic("shop/p0", uint64(second), 0) })
	if n := b.written[writeTraffic] + b.written[writeCounts]; n < 11 || n > 12 {
		t.Errorf("%d writes in 120 s, want one every 10 s", n)
	}
	after := *meta.FindStatusCondition(b.server.objects["shop/p0"].Status.Conditions, v1alpha1.ConditionReady)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("traffic touched a condition: %s", diff)
	}
}

// A breaker may be open for a few seconds only: the column must tell of it before it has closed again.
func TestABreakerThatOpensIsShownAtThePaceOfCounts(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.pass(trafficInterval, func(int) { b.traffic("shop/p0", 1, 0) })
	for i, want := range []string{"Open(1)", "Closed", "Open(2)"} {
		b.traffic("shop/p0", uint64(2+i), []int{1, 0, 2}[i])
		b.look("shop/p0") // it is announced
		b.pass(countInterval, nil)
		if got := b.server.objects["shop/p0"].Status.Traffic.Breaker; got != want {
			t.Errorf("the column shows %s, want %s", got, want)
		}
	}
}

// Figures of the first moment would stand for ten seconds, and be a guess.
func TestFirstFiguresWaitUntilTheyCoverEnough(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	figures := func(covered time.Duration) distribute.Figures {
		return distribute.Figures{AsOf: b.clock.Now(), Targets: []distribute.TargetFigures{
			{Target: "any", Counts: policy.Counts{Requests: 70, Successes: 70}, PerSecond: 140, Covered: covered}}}
	}
	b.agents.figures[policy.ParseID("shop/p0")] = figures(500 * time.Millisecond)
	b.pass(lookInterval, nil)
	if got := b.server.objects["shop/p0"].Status.Traffic; got != nil {
		t.Errorf("figures of half a second: %+v", got)
	}
	b.agents.figures[policy.ParseID("shop/p0")] = figures(5500 * time.Millisecond)
	b.pass(lookInterval, nil)
	if got := b.server.objects["shop/p0"].Status.Traffic; got == nil || got.RPS != "140" || got.Requests != 70 {
		t.Errorf("figures a report later: %+v", got)
	}
}

func TestQuietTrafficIsNotWrittenAgain(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.pass(120*time.Second, func(int) { b.traffic("shop/p0", 0, 0) })
	if n := b.written[writeTraffic] + b.written[writeCounts]; n != 1 {
		t.Errorf("%d writes of figures that did not change", n)
	}
}

func TestSlowCacheIsNotWrittenToTwice(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.server.lag = 1
	for range 10 {
		b.look("shop/p0")
	}
	if n := len(b.server.writes); n != 2 {
		t.Errorf("%d writes while the cache was behind, want 2", n)
	}
}

func TestReadyDoesNotFlapWhenOneMoreNodeIsTold(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 1, Pending: 1, WaitingSince: begin}
	b.look("shop/p0")
	b.clock.SetTime(begin.Add(patience - time.Second))
	b.look("shop/p0")
	b.serve()
	s := &b.server.objects["shop/p0"].Status
	if ready(s) != "True/Ready" || s.Nodes.Summary != "1/2" {
		t.Errorf("at first: %s, %s", ready(s), s.Nodes.Summary)
	}
	b.clock.SetTime(begin.Add(patience))
	b.look("shop/p0")
	if ready(s) != "False/WaitingForNodes" {
		t.Errorf("after %s: %s", patience, ready(s))
	}
	b.agents.rollout = distribute.Rollout{Desired: 2, Programmed: 2}
	b.look("shop/p0")
	if ready(s) != "True/Ready" {
		t.Errorf("at last: %s", ready(s))
	}
	for second := range 60 { // always one that is a moment behind, and never the same
		b.clock.SetTime(begin.Add(patience + time.Duration(second)*time.Second))
		b.agents.rollout = distribute.Rollout{Desired: 2 + second, Programmed: 1 + second, Pending: 1, WaitingSince: b.clock.Now()}
		b.look("shop/p0")
		if ready(s) != "True/Ready" {
			t.Fatalf("the next times: %s", ready(s))
		}
	}
}

func TestEventsAreToldOncePerTransition(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	if diff := cmp.Diff([]string{"Normal Programmed The only node has it (generation 1)."}, b.events()); diff != "" {
		t.Error(diff)
	}
	b.agents.rollout = distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "node-1", Message: "no"}}}
	b.settle("shop/p0")
	if got := b.events(); len(got) != 1 || !strings.HasPrefix(got[0], "Warning NodesFailing 1 of 1 node refused it: node-1") {
		t.Errorf("events %q", got)
	}
	for _, open := range []int{0, 2, 3, 0, 0} {
		b.traffic("shop/p0", 1, open)
		b.look("shop/p0")
	}
	want := []string{
		"Warning BreakerOpened A circuit breaker opened for any.",
		"Normal BreakerClosed All circuit breakers are closed again.",
	}
	if diff := cmp.Diff(want, b.events()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotEnforcedIsToldOnce(t *testing.T) {
	b := newBureau(t, 1, `{podSelector: {matchLabels: {app: %s}}, to: [{any: {}}], rateLimit: {requests: 1}, concurrency: {max: 3}}`)
	for range 5 {
		b.settle("shop/p0")
	}
	var got []string
	for _, e := range b.events() {
		if strings.Contains(e, "PartiallyEnforced") {
			got = append(got, e)
		}
	}
	if diff := cmp.Diff([]string{"Warning PartiallyEnforced Not enforced by this version: rateLimit, concurrency."}, got); diff != "" {
		t.Error(diff)
	}
}

// The messages of Ready and PartiallyEnforced name pods that could not be captured. What they say changes at the pace of counts, and in
// one write.
func TestMessagesAreWrittenAtThePaceOfCounts(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	id := policy.ParseID("shop/p0")
	say := func(pod string) {
		b.agents.figures[id] = distribute.Figures{Problems: []policy.CaptureProblem{{Namespace: "shop", Pod: pod, Policies: []policy.ID{id}, Reason: "No"}}}
		b.look("shop/p0") // it is announced
	}
	b.clock.SetTime(begin.Add(lookInterval))
	say("a")
	before, edges := len(b.server.writes), b.written[writeEdge]
	b.pass(100*time.Second, func(int) { say("a") })
	if n := len(b.server.writes) - before; n != 0 {
		t.Errorf("%d writes of what is said already", n)
	}
	b.pass(10*time.Second, func(second int) { say(fmt.Sprintf("b%d", second)) })
	if n := len(b.server.writes) - before; n < 1 || n > 6 || b.written[writeEdge] != edges {
		t.Errorf("%d writes in 10 s, %d of them at once", n, b.written[writeEdge]-edges)
	}
}

func TestBreakerThatWasOpenBeforeARestartIsNotToldAgain(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.server.cached["shop/p0"].Status.Traffic = &v1alpha1.TrafficStatus{BreakersOpen: 1}
	b.look("shop/p0") // agents have not come back yet
	b.traffic("shop/p0", 1, 1)
	b.look("shop/p0")
	for _, e := range b.events() {
		if strings.Contains(e, "Breaker") {
			t.Errorf("event %q", e)
		}
	}
}

func TestAPolicyMadeAnewIsNotAnsweredWithTheOldStatus(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.server.cached["shop/p0"].UID = "made anew"
	if r := b.look("shop/p0"); r.RequeueAfter == 0 || len(b.server.writes) != 0 {
		t.Errorf("%d writes, looks again after %s", len(b.server.writes), r.RequeueAfter)
	}
}

func TestProfilesReplacedMeanwhileAreNotTakenForNone(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.agents.rollout = distribute.Rollout{} // nobody uses the profiles that were the policy's a moment ago
	if r := b.look("shop/p0"); r.RequeueAfter == 0 || len(b.server.writes) != 0 {
		t.Errorf("%d writes, looks again after %s", len(b.server.writes), r.RequeueAfter)
	}
}

func TestAPolicySwitchedOffIsSoOnceItsNodesHaveLetGo(t *testing.T) {
	for _, mode := range []string{"Disabled", "DryRun"} {
		b := newBureau(t, 1, onePolicy)
		b.settle("shop/p0")
		b.agents.behind = map[uint64]int{2: 1} // the publication that takes the policy away
		b.index.setPolicy("p0", retryPolicy(t, "shop", "p0", 2, fmt.Sprintf(`{to: [{any: {}}], mode: %s}`, mode)))
		b.index.flush(newPublished())
		b.index.published(2)
		b.index.setPod(testPod("shop", "p0", "node-1", "other")) // what is published later does not matter
		b.index.flush(newPublished())
		b.index.published(3)
		b.agents.rollout = distribute.Rollout{}
		r := b.look("shop/p0")
		s := &b.server.objects["shop/p0"].Status
		if got := ready(s); got != "False/WaitingForNodes" || r.RequeueAfter == 0 || r.RequeueAfter > time.Second {
			t.Errorf("%s: %s while a node has yet to let go, looks again after %s", mode, got, r.RequeueAfter)
		}
		b.agents.behind = nil
		b.look("shop/p0")
		if got := ready(s); !strings.HasPrefix(got, "True/") {
			t.Errorf("%s: %s once all have", mode, got)
		}
		b.agents.behind = map[uint64]int{2: 1} // an agent comes back and has to catch up
		b.look("shop/p0")
		if got := ready(s); !strings.HasPrefix(got, "True/") {
			t.Errorf("%s: %s later", mode, got)
		}
	}
}

// It may be another one of the same name, made after this one was deleted.
func TestAStatusIsNotWrittenOnAnObjectThatHasChanged(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.server.objects["shop/p0"].ResourceVersion = "77"
	b.agents.rollout = distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "node-1"}}}
	before := len(b.server.writes)
	if r := b.look("shop/p0"); r.RequeueAfter == 0 || r.RequeueAfter > time.Second || len(b.server.writes) != before {
		t.Errorf("%d writes, looks again after %s", len(b.server.writes)-before, r.RequeueAfter)
	}
	b.server.cached["shop/p0"].ResourceVersion = "77"
	b.look("shop/p0")
	if len(b.server.writes) != before+1 {
		t.Errorf("%d writes once the cache has caught up", len(b.server.writes)-before)
	}
}
