package call

import (
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

const ms = time.Millisecond

var (
	t0       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	endpoint = netip.MustParseAddrPort("10.0.0.1:80")
)

// rig drives one Call at given times, as a test has it.
type rig struct {
	t        *testing.T
	settings policy.Settings
	plan     Plan
	call     Call
	id       AttemptID // of the attempt started last
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
	r.plan = planFor(s)
	return r
}

func planFor(s *policy.Settings) Plan {
	half := func() float64 { return 0.5 }
	p := Plan{Settings: s, Budget: resilience.NewBudget(s.Retry.Budget, t0), Random: half}
	if s.Breaker != nil {
		p.Breaker = resilience.NewBreaker(s.Breaker, t0, half)
	}
	return p
}

func at(d time.Duration) time.Time { return t0.Add(d) }

// start begins a call.
func (r *rig) start(now time.Time, q Request) Action {
	r.id = 0
	return r.call.Begin(now, &r.plan, q)
}

// begin begins a call at t0 that is placed at once.
func (r *rig) begin(q Request) {
	r.t.Helper()
	r.want(r.start(t0, q), StartAttempt)
	r.placed(t0)
}

// want checks what the call wants done.
func (r *rig) want(a Action, do Do) Action {
	r.t.Helper()
	if a.Do != do {
		r.t.Fatalf("got %+v (outcome %+v), want do %d", a, r.call.Outcome(), do)
	}
	if do == StartAttempt {
		r.id = a.Attempt
	}
	return a
}

// nextAttempt waits out the backoff that a asks for and has the retry placed.
func (r *rig) nextAttempt(a Action) time.Time {
	r.t.Helper()
	r.want(a, Wait)
	r.want(r.call.Timer(a.Until), StartAttempt)
	r.placed(a.Until)
	return a.Until
}

// What happens to the attempt started last.

func (r *rig) placed(now time.Time) Action                { return r.call.Placed(now, r.id, endpoint) }
func (r *rig) sending(now time.Time) Action               { return r.call.Sending(now, r.id) }
func (r *rig) written(now time.Time) Action               { return r.call.RequestWritten(now, r.id) }
func (r *rig) head(now time.Time, p Response) Action      { return r.call.ResponseHead(now, r.id, p) }
func (r *rig) rejects(now time.Time, kind Kind) Action    { return r.call.LocalReject(now, r.id, kind) }
func (r *rig) finished(now time.Time, e End) (o Outcome)  { return r.call.Finished(now, r.id, e) }
func (r *rig) respond(d time.Duration, status int) Action { return r.head(at(d), plain(status)) }
func (r *rig) fails(now time.Time, f fault) Action {
	if f.sent {
		r.call.BytesAccepted(r.id)
	}
	return r.call.AttemptFailed(now, r.id, f.Failure)
}

// plain is a response that is nothing but its status.
func plain(status int) Response { return Response{Status: status, GRPCStatus: -1} }

// ended checks the outcome.
func (r *rig) ended(kind Kind, d RetryDecision, status, attempts int) {
	r.t.Helper()
	o := r.call.Outcome()
	if !r.call.Ended() {
		r.t.Fatal("the call goes on")
	}
	if o.Kind != kind || o.Decision != d || o.Status != status || o.Attempts != attempts {
		r.t.Errorf("outcome %v, decision %v, status %d after %d attempts; want %v, %v, %d, %d",
			o.Kind, o.Decision, o.Status, o.Attempts, kind, d, status, attempts)
	}
}

// fault is how an attempt fails, and whether bytes of it were accepted before.
type fault struct {
	Failure
	sent bool
}

// The ways an attempt can fail.
var (
	refused  = fault{Failure{Kind: ConnectFailed}, false}
	sentLost = fault{Failure{Kind: Reset}, true}
	stale    = fault{Failure{Kind: Reset, Reused: true}, true}
	timedOut = fault{Failure{Kind: AttemptTimeout}, true}
)
