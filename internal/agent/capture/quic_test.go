package capture

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

func TestQUICIsSeenForAWhile(t *testing.T) {
	start := time.Now()
	var q quicFlows
	for _, step := range []struct {
		after time.Duration
		flows uint64
		want  bool
	}{
		{0, 0, false}, {time.Minute, 0, false}, {2 * time.Minute, 3, true}, {3 * time.Minute, 3, true}, {11 * time.Minute, 3, true}, {12 * time.Minute, 3, false},
		{13 * time.Minute, 4, true},
		{20 * time.Minute, 0, true}, // begun anew
		{22 * time.Minute, 2, true}, // and counting
		{31 * time.Minute, 2, true},
		{32 * time.Minute, 2, false}, // ten minutes after the last
	} {
		if got := q.seen(start.Add(step.after), step.flows); got != step.want {
			t.Errorf("after %v with %d flows: %v", step.after, step.flows, got)
		}
	}
}

func TestOneNoticeOfQUICForEachSetOfPolicies(t *testing.T) {
	a, b := []policy.ID{{Name: "a"}}, []policy.ID{{Name: "b"}}
	notice := func(pod, reason string, ids []policy.ID) policy.CaptureProblem {
		return policy.CaptureProblem{Pod: pod, Reason: reason, Policies: ids}
	}
	got := oneOfQUIC([]policy.CaptureProblem{
		notice("1", ReasonQUICSeen, a), notice("1", ReasonRulesChanged, a), notice("2", ReasonQUICSeen, a), notice("2", ReasonRulesChanged, a),
		notice("3", ReasonQUICSeen, b),
	})
	want := []policy.CaptureProblem{
		notice("1", ReasonQUICSeen, a), notice("1", ReasonRulesChanged, a), notice("2", ReasonRulesChanged, a), notice("3", ReasonQUICSeen, b),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A notice of QUIC names the policies whose calls could be made that way, and no others.
func TestNoticesOfQUICNameTheirPolicies(t *testing.T) {
	host, service := policy.ID{Name: "host"}, policy.ID{Name: "service"}
	spec := PodSpec{Policies: []policy.ID{host, service}, Claims: func() intent.Claims {
		return intent.Claims{
			{Redirect: intent.Redirect{Ports: []uint16{80, 443}}, Policies: []policy.ID{host}, ByHost: true},
			{Redirect: intent.Redirect{Ports: []uint16{80}}, Policies: []policy.ID{service}},
		}
	}}
	if diff := cmp.Diff([]policy.ID{host}, spec.meetingQUIC()); diff != "" {
		t.Error(diff)
	}
	spec.Claims = nil
	if diff := cmp.Diff(spec.Policies, spec.meetingQUIC()); diff != "" {
		t.Error(diff)
	}
}
