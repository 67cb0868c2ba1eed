package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// What concerns the capture of a pod is recorded once for each reason, until no pod is named for it any more: which of many pods are named
// changes.
func TestNoticesAreRecordedOnceForEachReason(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	h.events()
	id := policy.ParseID("shop/p0")
	say := func(reasons ...string) []string {
		f := distribute.Figures{AsOf: h.clock.Now()}
		for i, reason := range reasons {
			f.Notices = append(f.Notices, policy.CaptureProblem{Namespace: "shop", Pod: fmt.Sprintf("pod-%d", i), Reason: reason, Message: "why"})
		}
		h.agents.figures[id] = f
		h.run("shop/p0")
		return h.events()
	}
	const changed = "Warning CaptureNotice To know of captured pods: shop/pod-0 (RulesChanged: why)."
	for i, step := range []struct{ say, want []string }{
		{nil, nil},
		{[]string{"RulesChanged"}, []string{changed}},
		{[]string{"RulesChanged", "RulesChanged"}, nil},
		{[]string{"RulesChanged", "ForeignRedirect"}, []string{"Warning CaptureNotice To know of captured pods: shop/pod-1 (ForeignRedirect: why)."}},
		{nil, nil},
		{[]string{"RulesChanged"}, []string{changed}},
	} {
		if diff := cmp.Diff(step.want, say(step.say...)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

func TestNoticesFromBeforeARestartAreNotRecordedAgain(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	notices := []policy.CaptureProblem{{Namespace: "shop", Pod: "a", Reason: "RulesChanged", Message: "why"}}
	h.server.cached["shop/p0"].Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Message: "In force. " + status.DescribeNotices(notices)},
	}
	h.run("shop/p0") // agents have not come back yet
	h.agents.figures[policy.ParseID("shop/p0")] = distribute.Figures{AsOf: h.clock.Now(), Notices: notices}
	h.run("shop/p0")
	for _, e := range h.events() {
		if strings.Contains(e, "CaptureNotice") {
			t.Errorf("event %q", e)
		}
	}
}

func TestEventsAreRecordedOncePerTransition(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	if diff := cmp.Diff([]string{"Normal Programmed The only node has it (generation 1)."}, h.events()); diff != "" {
		t.Error(diff)
	}
	h.agents.rollout = distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "node-1", Message: "no"}}}
	h.runUntilWritten("shop/p0")
	if got := h.events(); len(got) != 1 || !strings.HasPrefix(got[0], "Warning NodesFailing 1 of 1 node refused it: node-1") {
		t.Errorf("events %q", got)
	}
	for _, open := range []int{0, 2, 3, 0, 0} {
		h.traffic("shop/p0", 1, open)
		h.run("shop/p0")
	}
	want := []string{
		"Warning BreakerOpened A circuit breaker opened for any.",
		"Normal BreakerClosed All circuit breakers are closed again.",
	}
	if diff := cmp.Diff(want, h.events()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotEnforcedIsRecordedOnce(t *testing.T) {
	h := newStatusHarness(t, 1, `{podSelector: {matchLabels: {app: %s}}, to: [{any: {}, protocol: TCP}], observability: {tracing: {samplePercent: 1}}}`)
	for range 5 {
		h.runUntilWritten("shop/p0")
	}
	var got []string
	for _, e := range h.events() {
		if strings.Contains(e, "PartiallyEnforced") {
			got = append(got, e)
		}
	}
	if diff := cmp.Diff([]string{"Warning PartiallyEnforced Each connection is one call, since the protocol has no requests to tell apart: to[0].protocol. " +
		"Without effect where there are no requests: observability.tracing."}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBreakerThatWasOpenBeforeARestartIsNotRecordedAgain(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.server.cached["shop/p0"].Status.Traffic = &v1alpha1.TrafficStatus{BreakersOpen: 1}
	h.run("shop/p0") // agents have not come back yet
	h.traffic("shop/p0", 1, 1)
	h.run("shop/p0")
	for _, e := range h.events() {
		if strings.Contains(e, "Breaker") {
			t.Errorf("event %q", e)
		}
	}
}

// A breaker whose agent has gone is neither open nor closed, until an agent of the node reports.
func TestABreakerWhoseAgentHasGoneIsNotSaidToBeClosed(t *testing.T) {
	const opened, closed = "Warning BreakerOpened A circuit breaker opened for any.", "Normal BreakerClosed All circuit breakers are closed again."
	type step struct {
		give distribute.Breakers
		want []string
	}
	for name, steps := range map[string][]step{
		"its agent comes back, and it is closed": {
			{distribute.Breakers{Lost: 1}, nil}, {distribute.Breakers{Closings: 1}, []string{closed}}},
		"its agent comes back, and it is still open": {
			{distribute.Breakers{Lost: 1}, nil}, {distribute.Breakers{Open: 1}, nil}, {distribute.Breakers{Closings: 1}, []string{closed}}},
		"its agent never comes back, and another one opens": {
			{distribute.Breakers{Lost: 1}, nil}, {distribute.Breakers{}, nil}, {distribute.Breakers{Open: 1}, []string{opened}}},
		"another one closes meanwhile": {
			{distribute.Breakers{Open: 2}, nil}, {distribute.Breakers{Lost: 1, Closings: 1}, nil}, {distribute.Breakers{Closings: 2}, []string{closed}}},
		"another one closes, and its agent never comes back": {
			{distribute.Breakers{Open: 2}, nil}, {distribute.Breakers{Lost: 1, Closings: 1}, nil}, {distribute.Breakers{Closings: 1}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newStatusHarness(t, 1, onePolicy)
			h.runUntilWritten("shop/p0")
			h.traffic("shop/p0", 1, 1)
			h.run("shop/p0")
			h.events()
			for i, s := range steps {
				h.breakers("shop/p0", 1, s.give)
				h.run("shop/p0")
				if diff := cmp.Diff(s.want, h.events()); diff != "" {
					t.Errorf("step %d: %s", i, diff)
				}
			}
		})
	}
}

// Breakers of each destination are changes of their own, where Events are about the first and the last of a policy.
func TestBreakersOfEachDestinationAreChanges(t *testing.T) {
	h := newStatusHarness(t, 1, `{podSelector: {matchLabels: {app: %s}}, to: [{cidr: {block: 192.0.2.0/24}}, {any: {}}], circuitBreaker: {consecutiveFailures: 5}}`)
	h.changes = changes.New()
	h.runUntilWritten("shop/p0")
	report := func(a, b distribute.Breakers) {
		h.agents.figures[policy.ParseID("shop/p0")] = distribute.Figures{
			AsOf: h.clock.Now(), Breakers: a.Plus(b), Targets: []distribute.TargetFigures{{Target: "cidr 192.0.2.0/24", Breakers: a}, {Target: "any", Breakers: b}},
		}
		h.run("shop/p0")
	}
	report(distribute.Breakers{}, distribute.Breakers{})
	report(distribute.Breakers{Open: 1}, distribute.Breakers{})
	report(distribute.Breakers{Open: 2}, distribute.Breakers{HalfOpen: 1})
	report(distribute.Breakers{Lost: 1}, distribute.Breakers{HalfOpen: 1})
	report(distribute.Breakers{Closings: 1}, distribute.Breakers{Open: 1})
	report(distribute.Breakers{Closings: 1}, distribute.Breakers{}) // its agent has gone for good
	var got []string
	for _, c := range h.changes.Since(begin, 100, func(*liveapi.Change) bool { return true }) {
		got = append(got, strings.Join([]string{c.Kind, c.Policy, c.Target, c.Note}, "|"))
	}
	slices.Reverse(got)
	want := []string{
		"BreakerOpened|shop/p0|cidr 192.0.2.0/24|A circuit breaker opened for cidr 192.0.2.0/24.",
		"BreakerOpened|shop/p0|any|A circuit breaker opened for any.",
		"BreakerClosed|shop/p0|cidr 192.0.2.0/24|All circuit breakers for cidr 192.0.2.0/24 are closed again.",
		"BreakerGone|shop/p0|any|The last circuit breaker that was open for any is gone: an edit has removed it, or its pods or its agent are not there any more.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A breaker that is open when an edit removes its destination, or all pods go, ends there.
func TestAnOpenBreakerThatIsRemovedIsGone(t *testing.T) {
	open := func(target string) distribute.TargetFigures {
		return distribute.TargetFigures{Target: target, Breakers: distribute.Breakers{Open: 1}}
	}
	for name, tc := range map[string]struct {
		after []distribute.TargetFigures
		want  []string
	}{
		"one destination is removed":        {[]distribute.TargetFigures{open("any")}, []string{"BreakerGone cidr 192.0.2.0/24"}},
		"all are removed":                   {nil, []string{"BreakerGone any", "BreakerGone cidr 192.0.2.0/24"}},
		"it was removed and is there again": {[]distribute.TargetFigures{open("any"), {Target: "cidr 192.0.2.0/24"}}, []string{"BreakerGone cidr 192.0.2.0/24"}},
		"none is removed":                   {[]distribute.TargetFigures{open("any"), open("cidr 192.0.2.0/24")}, nil},
	} {
		h := newStatusHarness(t, 1, `{podSelector: {matchLabels: {app: %s}}, to: [{cidr: {block: 192.0.2.0/24}}, {any: {}}], circuitBreaker: {consecutiveFailures: 5}}`)
		h.changes = changes.New()
		h.runUntilWritten("shop/p0")
		report := func(targets []distribute.TargetFigures) {
			f := distribute.Figures{Targets: targets}
			if len(targets) > 0 {
				f.AsOf = h.clock.Now()
			}
			h.agents.figures[policy.ParseID("shop/p0")] = f
			h.run("shop/p0")
		}
		report([]distribute.TargetFigures{open("any"), open("cidr 192.0.2.0/24"), {Target: "quiet"}})
		for range 3 { // it is said once
			report(tc.after)
		}
		var got []string
		for _, c := range slices.Backward(h.changes.Since(begin, 100, func(c *liveapi.Change) bool { return c.Kind != eventBreakerOpened })) {
			got = append(got, c.Kind+" "+c.Target)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A breaker that is open when an edit removes it alone ends there, though agents report the destination as one without open breakers, as when it closes.
func TestAnOpenBreakerThatAnEditRemovesIsGone(t *testing.T) {
	const with, without = `{podSelector: {matchLabels: {app: p0}}, to: [{any: {}}], circuitBreaker: {consecutiveFailures: 5}}`, `{podSelector: {matchLabels: {app: p0}}, to: [{any: {}}]}`
	const inARule = `{podSelector: {matchLabels: {app: p0}}, to: [{any: {}}], rules: [{name: r, match: [{methods: [GET]}], circuitBreaker: {consecutiveFailures: 5}}]}`
	for name, tc := range map[string]struct{ before, after, want string }{
		"removed":               {with, without, "BreakerGone any"},
		"switched off":          {with, `{podSelector: {matchLabels: {app: p0}}, to: [{any: {}}], circuitBreaker: {mode: Disabled, consecutiveFailures: 5}}`, "BreakerGone any"},
		"a dry run":             {with, `{mode: DryRun, podSelector: {matchLabels: {app: p0}}, to: [{any: {}}], circuitBreaker: {consecutiveFailures: 5}}`, "BreakerGone any"},
		"removed from a rule":   {inARule, without, "BreakerGone any"},
		"another one":           {with, `{podSelector: {matchLabels: {app: p0}}, to: [{any: {}}], circuitBreaker: {consecutiveFailures: 9}}`, "BreakerClosed any"},
		"for a rule alone":      {with, inARule, "BreakerClosed any"},
		"there was none at all": {without, without, "BreakerClosed any"}, // an annotation had kept it open
	} {
		h := newStatusHarness(t, 0, "")
		h.changes = changes.New()
		p := &v1alpha1.RetryPolicy{}
		p.Namespace, p.Name, p.UID, p.ResourceVersion = "shop", "p0", "p0", "1"
		h.server.objects["shop/p0"], h.server.cached["shop/p0"] = p, p.DeepCopy()
		edit := func(generation int64, spec string) {
			h.index.SetPolicy("p0", indextest.RetryPolicy(t, "shop", "p0", generation, spec))
			h.index.SetPod(indextest.RunningPod("shop", "p0", "node-1", "p0"))
			indextest.Publish(h.index, indextest.NewPublished())
			h.index.Published(uint64(generation))
			h.run("shop/p0")
		}
		edit(1, tc.before)
		h.traffic("shop/p0", 1, 1)
		h.run("shop/p0")
		edit(2, tc.after) // agents report the same for a while
		h.traffic("shop/p0", 1, 0)
		h.run("shop/p0")
		h.run("shop/p0")
		var got []string
		for _, c := range slices.Backward(h.changes.Since(begin, 100, func(*liveapi.Change) bool { return true })) {
			got = append(got, c.Kind+" "+c.Target)
		}
		if diff := cmp.Diff([]string{"BreakerOpened any", tc.want}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A policy that lands while others are compiled moves pods to a profile that is published next: an open breaker is neither gone nor opens again meanwhile.
func TestABreakerStaysOpenWhileAProfileIsNotCompiledYet(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.changes = changes.New()
	h.runUntilWritten("shop/p0")
	h.traffic("shop/p0", 1, 1)
	h.run("shop/p0")
	jobs := h.index.Take()
	h.index.SetPolicy("other", indextest.RetryPolicy(t, "shop", "other", 1, `{podSelector: {matchLabels: {app: p0}}, to: [{cidr: {block: 192.0.2.0/24}}]}`))
	h.index.Publish(jobs)
	h.index.Published(2)
	if v, _ := h.index.View(policy.ParseID("shop/p0")); v.Unpublished || len(v.Reports) > 0 {
		t.Fatalf("the profile is compiled: %+v", v)
	}
	h.run("shop/p0")
	indextest.Publish(h.index, indextest.NewPublished())
	h.index.Published(3)
	h.run("shop/p0")
	var got []string
	for _, c := range h.changes.Since(begin, 100, func(*liveapi.Change) bool { return true }) {
		got = append(got, c.Kind+" "+c.Target)
	}
	if diff := cmp.Diff([]string{"BreakerOpened any"}, got); diff != "" {
		t.Error(diff)
	}
}

// What was open before a restart has not opened now, and what opens with the first report of a policy that had none has.
func TestBreakersThatWereOpenBeforeARestartAreNoChanges(t *testing.T) {
	for _, before := range []int64{0, 1} {
		h := newStatusHarness(t, 1, onePolicy)
		h.changes = changes.New()
		h.server.cached["shop/p0"].Status.Traffic = &v1alpha1.TrafficStatus{BreakersOpen: before}
		h.traffic("shop/p0", 1, 0) // of the first agent that comes back
		h.run("shop/p0")
		h.traffic("shop/p0", 1, 1)
		h.run("shop/p0")
		h.clock.SetTime(begin.Add(inheritedGrace))
		h.traffic("shop/p0", 1, 1)
		h.run("shop/p0")
		if got := h.changes.Since(begin.Add(-time.Hour), 100, func(c *liveapi.Change) bool { return c.Kind == eventBreakerOpened }); len(got) != 1-int(before) {
			t.Errorf("with %d open before: %+v", before, got)
		}
	}
}

// Events about a policy are changes, but for those of breakers, which are each destination's.
func TestEventsAreChanges(t *testing.T) {
	log := changes.New()
	r := recordingChanges{events.NewFakeRecorder(10), log}
	p := &v1alpha1.RetryPolicy{}
	p.Namespace, p.Name = "shop", "p"
	for _, reason := range []string{eventBreakerOpened, eventBreakerClosed, eventRolledBack} {
		r.Eventf(p, nil, "Normal", reason, actionObserve, "%s", "why")
	}
	if got := log.Since(begin, 100, func(*liveapi.Change) bool { return true }); len(got) != 1 || got[0].Kind != eventRolledBack || got[0].Policy != "shop/p" || got[0].Note != "why" {
		t.Errorf("%+v", got)
	}
}

// After a restart agents come back one after the other: the first one does not speak for all.
func TestABreakerThatWasOpenBeforeARestartIsClosedOnceAllMayHaveReported(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.server.cached["shop/p0"].Status.Traffic = &v1alpha1.TrafficStatus{BreakersOpen: 1}
	h.traffic("shop/p0", 1, 0)
	h.run("shop/p0")
	breakers := func() (out []string) {
		for _, e := range h.events() {
			if strings.Contains(e, "Breaker") {
				out = append(out, e)
			}
		}
		return out
	}
	if got := breakers(); got != nil {
		t.Errorf("events %q when one agent has come back", got)
	}
	h.clock.SetTime(begin.Add(inheritedGrace))
	h.traffic("shop/p0", 1, 0)
	h.run("shop/p0")
	if diff := cmp.Diff([]string{"Normal BreakerClosed All circuit breakers are closed again."}, breakers()); diff != "" {
		t.Error(diff)
	}
}
