package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

const ms = time.Millisecond

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rig drives one Call at given times, as a test tells it.
type rig struct {
	t        *testing.T
	settings policy.Settings
	plan     Plan
	call     Call
}

// newRig has a policy that retries everything twice, 100 ms apart, within 10 s.
func newRig(t *testing.T, change func(*policy.Settings)) *rig {
	t.Helper()
	r := &rig{t: t, settings: policy.Defaults()}
	s := &r.settings
	s.Timeouts.Overall = 10 * time.Second
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.RefusedStream, policy.ResetBeforeRequest, policy.Reset,
		policy.PerTryTimeout, policy.ServerError, policy.RateLimited)
	s.Retry.Backoff = policy.Backoff{Strategy: policy.Fixed, Initial: 100 * ms, Max: 100 * ms, Jitter: policy.JitterNone}
	if change != nil {
		change(s)
	}
	half := func() float64 { return 0.5 }
	r.plan = Plan{Settings: s, Budget: resilience.NewBudget(s.Retry.Budget, t0), Random: half}
	if s.Breaker != nil {
		r.plan.Breaker = resilience.NewBreaker(s.Breaker, half)
	}
	return r
}

func at(d time.Duration) time.Time { return t0.Add(d) }

// begin begins a call at t0 that is dispatched at once.
func (r *rig) begin(q Request) {
	r.t.Helper()
	r.want(r.call.Begin(t0, r.plan, q), StartTry)
	r.call.Dispatched(t0)
}

// want checks what the call wants done.
func (r *rig) want(a Action, do Do) Action {
	r.t.Helper()
	if a.Do != do {
		r.t.Fatalf("got %+v (outcome %+v), want do %d", a, r.call.Outcome(), do)
	}
	return a
}

// nextTry waits out the backoff that a tells of and dispatches the retry.
func (r *rig) nextTry(a Action) time.Time {
	r.t.Helper()
	r.want(a, Wait)
	r.want(r.call.Timer(a.Until), StartTry)
	r.call.Dispatched(a.Until)
	return a.Until
}

func (r *rig) respond(d time.Duration, status int) Action {
	return r.call.ResponseHead(at(d), Response{Status: status, GRPCStatus: -1})
}

// ended checks the outcome.
func (r *rig) ended(kind Kind, fate RetryDecision, status, tries int) {
	r.t.Helper()
	o := r.call.Outcome()
	if !r.call.Ended() {
		r.t.Fatal("the call goes on")
	}
	if o.Kind != kind || o.Decision != fate || o.Status != status || o.Tries != tries {
		r.t.Errorf("outcome %v, fate %v, status %d after %d tries; want %v, %v, %d, %d",
			o.Kind, o.Decision, o.Status, o.Tries, kind, fate, status, tries)
	}
}

// The ways a try can fail.
var (
	refused  = Failure{Kind: ConnectFailed}
	sentLost = Failure{Kind: Reset, BytesWritten: true}
	stale    = Failure{Kind: Reset, BytesWritten: true, Reused: true}
	timedOut = Failure{Kind: AttemptTimeout, BytesWritten: true}
)
