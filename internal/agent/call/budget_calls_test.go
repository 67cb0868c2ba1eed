package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// A call that is not let in gives others no retries: the load that a limit keeps off would come back as these.
func TestRule13_OnlyCallsThatAreLetInCount(t *testing.T) {
	refuses := resilience.Entry{Verdict: resilience.Refuse}
	for name, tc := range map[string]struct {
		answers []resilience.Entry // of the gate
		open    bool               // the breaker is
		does    func(r *rig)
		counts  bool
	}{
		"let in":                          {[]resilience.Entry{passes}, false, nil, true},
		"let in behind a wait":            {[]resilience.Entry{waits(50 * ms), passes}, false, func(r *rig) { r.want(r.call.Timer(at(50*ms)), StartAttempt) }, true},
		"waiting at a limit":              {[]resilience.Entry{waits(50 * ms)}, false, nil, false},
		"its client leaves at a limit":    {[]resilience.Entry{parks(time.Second)}, false, func(r *rig) { r.call.ClientGone(at(ms)) }, false},
		"its time passes at a limit":      {[]resilience.Entry{parks(time.Minute)}, false, func(r *rig) { r.call.Timer(at(10 * time.Second)) }, false},
		"refused by a limit":              {[]resilience.Entry{refuses}, false, nil, false},
		"let in, and the breaker is open": {[]resilience.Entry{passes}, true, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := gated(t, func(s *policy.Settings) {
				breaking(s)
				s.Retry.Budget = policy.Budget{Percent: 100, Window: time.Minute}
			}, tc.answers...)
			if tc.open {
				for range 2 {
					r.plan.Breaker.Note(t0, resilience.Result{Failed: true})
				}
			}
			r.start(t0, Request{})
			if tc.does != nil {
				tc.does(r)
			}
			if got := r.plan.Budget.Allows(at(50 * ms)); got != tc.counts {
				t.Errorf("the call is in the budget: %v, want %v", got, tc.counts)
			}
		})
	}
}
