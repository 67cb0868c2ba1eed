package controller

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

// Reasons of the Events about policies. Each is recorded once per transition.
const (
	// eventRefused: the policy is not accepted.
	eventRefused = "PolicyRefused"
	// eventProgrammed: every node concerned acknowledged the policy.
	eventProgrammed = "Programmed"
	// eventNodesFailing: nodes refused the policy.
	eventNodesFailing = "NodesFailing"
	// eventPartiallyEnforced: some of what the policy asks for is not enforced.
	eventPartiallyEnforced = "PartiallyEnforced"
	// eventBreakerOpened: a circuit breaker opened, the first of the policy.
	eventBreakerOpened = "BreakerOpened"
	// eventBreakerClosed: the last open circuit breaker of the policy closed.
	eventBreakerClosed = "BreakerClosed"
	// eventDryRunBreakerOpened: a circuit breaker of a dry run would have opened, the first of the policy.
	eventDryRunBreakerOpened = "DryRunBreakerOpened"
	// eventDryRunDiffers: a dry run would have treated calls differently; at most once in a while.
	eventDryRunDiffers = "DryRunDiffers"
	// eventEndpointsEjected: a breaker of an endpoint keeps it out, the first of the policy.
	eventEndpointsEjected = "EndpointsEjected"
	// eventEndpointsReturned: none is kept out any more.
	eventEndpointsReturned = "EndpointsReturned"
	// eventRolloutStarted: a change of the policy goes to some of the nodes.
	eventRolloutStarted = "RolloutStarted"
	// eventRolloutFinished: a change of the policy goes to all nodes.
	eventRolloutFinished = "RolloutFinished"
	// eventRolledBack: a change of the policy was taken back.
	eventRolledBack = "RolledBack"
	// eventBreakerForced: the annotation about the policy's circuit breakers came into force, or says something else now.
	eventBreakerForced = "BreakerForced"
	// eventBreakerReleased: its time is over, or it was removed.
	eventBreakerReleased = "BreakerReleased"
	// eventFaultsStarted: the policy injects faults, or others than before.
	eventFaultsStarted = "FaultsStarted"
	// eventFaultsEnded: it injects none any more: their time is over, or they were removed.
	eventFaultsEnded = "FaultsEnded"
	// eventNotice: something in a captured pod concerns its capture, such as rules that were changed.
	eventNotice = "CaptureNotice"
)

// Actions of the Events: what the manager was doing.
const (
	actionCompile = "Compile"
	actionProgram = "Program"
	actionObserve = "Observe"
	actionRollOut = "RollOut"
)

// maxNote is the bound of an Event's note.
const maxNote = 1024

// recordTransitions records the transitions between two statuses.
func recordTransitions(r events.EventRecorder, obj client.Object, base, next *v1alpha1.PolicyStatus) {
	event := func(kind, reason, action, message string) {
		r.Eventf(obj, nil, kind, reason, action, "%s", status.Bound(message, maxNote))
	}
	if c, ok := transitioned(base, next, v1alpha1.ConditionAccepted, metav1.ConditionFalse); ok {
		event(corev1.EventTypeWarning, eventRefused, actionCompile, c.Message)
	}
	if c, ok := transitioned(base, next, v1alpha1.ConditionProgrammed, metav1.ConditionTrue); ok {
		event(corev1.EventTypeNormal, eventProgrammed, actionProgram, c.Message)
	}
	if c, ok := transitioned(base, next, v1alpha1.ConditionPartiallyEnforced, metav1.ConditionTrue); ok {
		event(corev1.EventTypeWarning, eventPartiallyEnforced, actionCompile, c.Message)
	}
	recordRollout(base, next, event)
	switch is, was := passing(base, next, v1alpha1.ConditionFaultsActive); {
	case is != "":
		event(corev1.EventTypeWarning, eventFaultsStarted, actionCompile, is)
	case was != "":
		event(corev1.EventTypeNormal, eventFaultsEnded, actionCompile, "No faults are injected any more. Before: "+was)
	}
	switch is, was := passing(base, next, v1alpha1.ConditionBreakerForced); {
	case is != "":
		event(corev1.EventTypeNormal, eventBreakerForced, actionCompile, is)
	case was != "":
		event(corev1.EventTypeNormal, eventBreakerReleased, actionCompile, "The circuit breakers go by what is seen again. Before: "+was)
	}
	if failed(base) == 0 && failed(next) > 0 {
		event(corev1.EventTypeWarning, eventNodesFailing, actionProgram, meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionProgrammed).Message)
	}
}

// passing returns what a condition that is there for a time says from now on, or else what it said when it has gone; neither if nothing has changed.
func passing(base, next *v1alpha1.PolicyStatus, kind string) (is, was string) {
	before, now := meta.FindStatusCondition(base.Conditions, kind), meta.FindStatusCondition(next.Conditions, kind)
	switch {
	case now != nil && (before == nil || before.Message != now.Message):
		return now.Message, ""
	case now == nil && before != nil:
		return "", before.Message
	}
	return "", ""
}

// recordRollout records the transitions of a rollout.
func recordRollout(base, next *v1alpha1.PolicyStatus, event func(kind, reason, action, message string)) {
	s := next.Rollout
	if s == nil {
		return
	}
	was := &v1alpha1.RolloutStatus{}
	if base.Rollout != nil && base.Rollout.Generation == s.Generation {
		was = base.Rollout
	}
	if s.Nodes > 0 && was.Nodes == 0 {
		event(corev1.EventTypeNormal, eventRolloutStarted, actionRollOut, fmt.Sprintf("Generation %d goes to %d of %d nodes first.", s.Generation, s.Nodes, s.AllNodes))
	}
	switch {
	case s.Phase == was.Phase:
	case s.Phase == v1alpha1.RolloutRolledBack:
		event(corev1.EventTypeWarning, eventRolledBack, actionRollOut, meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionProgrammed).Message)
	case s.Phase == v1alpha1.RolloutComplete && s.Nodes > 0:
		event(corev1.EventTypeNormal, eventRolloutFinished, actionRollOut, fmt.Sprintf("Generation %d goes to all nodes. %s", s.Generation, s.Message))
	}
}

// transitioned returns the condition if it has come to be as wanted, or is so for another reason than before.
func transitioned(base, next *v1alpha1.PolicyStatus, kind string, want metav1.ConditionStatus) (*metav1.Condition, bool) {
	was, is := meta.FindStatusCondition(base.Conditions, kind), meta.FindStatusCondition(next.Conditions, kind)
	if is == nil || is.Status != want {
		return nil, false
	}
	return is, was == nil || was.Status != want || want == metav1.ConditionFalse && was.Reason != is.Reason
}

func failed(s *v1alpha1.PolicyStatus) int32 {
	if s.Nodes == nil {
		return 0
	}
	return s.Nodes.Failed
}

// inheritedGrace is how long after a start a breaker that the status shows as open is taken for open though no agent reports it: agents come
// back one after the other.
const inheritedGrace = 30 * time.Second

// breakerWatch notices breakers that open and close between two observations. A breaker has closed when its agent, or the next one on its
// node, reports so: one whose agent has gone is neither open nor closed.
type breakerWatch struct {
	seeded    bool
	inherited bool   // open is what the status showed at the first observation
	open      int    // half-open ones too
	closings  uint64 // at the last observation
}

// observe records what changed. At first the status says how it was.
func (w *breakerWatch) observe(r events.EventRecorder, obj client.Object, base *v1alpha1.PolicyStatus, reports *status.Reports) {
	f := &reports.Figures
	if !w.seeded && base.Traffic != nil {
		w.open = int(base.Traffic.BreakersOpen + base.Traffic.BreakersHalfOpen)
		w.inherited = w.open > 0
	}
	w.seeded = true
	if f.AsOf.IsZero() {
		return // agents have not come back yet
	}
	was, open, closed := w.open, f.Breakers.Open+f.Breakers.HalfOpen, w.inherited || f.Breakers.Closings > w.closings
	w.closings = f.Breakers.Closings
	switch {
	case open > 0:
		w.inherited = false
	case f.Breakers.Lost > 0, w.inherited && reports.KnownFor < inheritedGrace:
		return // whether it has closed is not known yet
	}
	w.open, w.inherited = open, false
	switch {
	case was == 0 && open > 0:
		r.Eventf(obj, nil, corev1.EventTypeWarning, eventBreakerOpened, actionObserve, "%s", "A circuit breaker opened for "+openTargets(f)+".")
	case was > 0 && open == 0 && closed:
		r.Eventf(obj, nil, corev1.EventTypeNormal, eventBreakerClosed, actionObserve, "%s", "All circuit breakers are closed again.")
	}
}

// noticeWatch notices what agents begin to report of captured pods: once for each reason, until no pod is named for it any more. Pods come
// and go, and which of many are named changes.
type noticeWatch struct {
	seeded  bool
	before  string // what the status said at the first observation
	reasons map[string]struct{}
}

// observe records an event for each change. What the status says when a policy is seen first is no change.
func (w *noticeWatch) observe(r events.EventRecorder, obj client.Object, base *v1alpha1.PolicyStatus, f *distribute.Figures) {
	if ready := meta.FindStatusCondition(base.Conditions, v1alpha1.ConditionReady); ready != nil && !w.seeded {
		w.before = ready.Message
	}
	w.seeded = true
	if f.AsOf.IsZero() {
		return // agents have not come back yet
	}
	reasons := map[string]struct{}{}
	var added []policy.CaptureProblem
	for _, n := range f.Notices {
		reasons[n.Reason] = struct{}{}
		if _, ok := w.reasons[n.Reason]; !ok && !strings.Contains(w.before, "("+n.Reason+": ") {
			added = append(added, n)
		}
	}
	w.reasons, w.before = reasons, ""
	if len(added) > 0 {
		r.Eventf(obj, nil, corev1.EventTypeWarning, eventNotice, actionObserve, "%s", status.Bound(status.DescribeNotices(added), maxNote))
	}
}

func openTargets(f *distribute.Figures) string {
	var names []string
	for _, t := range f.Targets {
		if t.Breakers.Open+t.Breakers.HalfOpen > 0 {
			names = append(names, t.Target)
		}
	}
	return status.NameSome(names, len(names))
}
