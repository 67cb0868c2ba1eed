package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// skipping is a policy that leaves calls alone that arrive as a retry.
func skipping(s *policy.Settings) { s.Retry.SkipRetried = true }

func TestCallsThatArriveAsARetryAreNotRetried(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*policy.Settings)
		request  Request
		f        fault
		does     Do
		decision RetryDecision
	}{
		"skipped":                  {skipping, Request{Retried: true}, sentLost, Reject, AlreadyRetried},
		"skipped though unsent":    {skipping, Request{Retried: true}, refused, Reject, AlreadyRetried},
		"not marked":               {skipping, Request{}, sentLost, Wait, 0},
		"marked, but not to skip":  {nil, Request{Retried: true}, sentLost, Wait, 0},
		"the method comes first":   {skipping, Request{Retried: true, Method: Unsafe}, sentLost, Reject, ByMethod},
		"the cause comes first":    {func(s *policy.Settings) { skipping(s); s.Retry.On = 0 }, Request{Retried: true}, sentLost, Reject, NotRetryable},
		"the budget comes later":   {func(s *policy.Settings) { skipping(s); s.Retry.Budget = policy.Budget{Window: time.Second} }, Request{Retried: true}, sentLost, Reject, AlreadyRetried},
		"a dead connection is not": {skipping, Request{Retried: true}, stale, StartAttempt, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.change)
			r.begin(tc.request)
			r.want(r.fails(at(ms), tc.f), tc.does)
			if tc.does == Reject {
				r.ended(tc.f.Kind, tc.decision, tc.f.Kind.Status(), 1)
			}
		})
	}
	t.Run("a bad response is what the client gets", func(t *testing.T) {
		r := newRig(t, skipping)
		r.begin(Request{Retried: true})
		r.want(r.respond(ms, 503), Forward)
		r.ended(OK, AlreadyRetried, 503, 1)
	})
	t.Run("nor hedged", func(t *testing.T) {
		r := hedging(t, skipping)
		r.begin(Request{Retried: true})
		r.want(r.call.Timer(at(200*ms)), Continue)
		r.want(r.respond(300*ms, 200), Forward)
		r.ended(OK, NotNeeded, 200, 1)
	})
}

func TestAttemptsAreNumbered(t *testing.T) {
	wants := func(r *rig, number int, reason string) {
		r.t.Helper()
		if n, why := r.call.Attempt(r.id); n != number || why != reason {
			r.t.Errorf("attempt %d for %q, want %d for %q", n, why, number, reason)
		}
	}
	t.Run("by what came before", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 5 })
		r.begin(Request{})
		wants(r, 1, "")
		r.nextAttempt(r.respond(ms, 503))
		wants(r, 2, "upstream_failure")
		r.nextAttempt(r.fails(at(200*ms), sentLost))
		wants(r, 3, "reset")
		r.nextAttempt(r.fails(at(400*ms), refused))
		wants(r, 4, "connect_failure")
	})
	t.Run("a repair too", func(t *testing.T) {
		r := newRig(t, nil)
		r.begin(Request{})
		r.want(r.fails(at(ms), stale), StartAttempt)
		wants(r, 2, "reset")
	})
	t.Run("and a hedge", func(t *testing.T) {
		r := hedging(t, nil)
		r.hedged()
		wants(r, 2, "hedge")
		r.id = 0
		wants(r, 1, "")
	})
}
