package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// What concerns the capture of a pod is told once for each reason, until no pod is named for it any more: which of many pods are named
// changes.
func TestNoticesAreToldOnceForEachReason(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	b.settle("shop/p0")
	b.events()
	id := policy.ParseID("shop/p0")
	say := func(reasons ...string) []string {
		f := distribute.Figures{AsOf: b.clock.Now()}
		for i, reason := range reasons {
			f.Notices = append(f.Notices, policy.CaptureProblem{Namespace: "shop", Pod: fmt.Sprintf("pod-%d", i), Reason: reason, Message: "why"})
		}
		b.agents.figures[id] = f
		b.look("shop/p0")
		return b.events()
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

func TestNoticesFromBeforeARestartAreNotToldAgain(t *testing.T) {
	b := newBureau(t, 1, onePolicy)
	notices := []policy.CaptureProblem{{Namespace: "shop", Pod: "a", Reason: "RulesChanged", Message: "why"}}
	b.server.cached["shop/p0"].Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Message: "In force. " + describeNotices(notices)},
	}
	b.look("shop/p0") // agents have not come back yet
	b.agents.figures[policy.ParseID("shop/p0")] = distribute.Figures{AsOf: b.clock.Now(), Notices: notices}
	b.look("shop/p0")
	for _, e := range b.events() {
		if strings.Contains(e, "CaptureNotice") {
			t.Errorf("event %q", e)
		}
	}
}
