package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// wouldCase is a call and what a dry run beside it would have done first.
type wouldCase struct {
	is, would func(*policy.Settings)
	plans     func(is, would *Plan) // further changes
	calls     func(*rig)            // one call, or several of which the last one counts
	want      Would
	limit     Limit
	after     time.Duration
}

func noRetries(s *policy.Settings) { s.Retry.MaxRetries = 0 }

// allOf makes several changes.
func allOf(changes ...func(*policy.Settings)) func(*policy.Settings) {
	return func(s *policy.Settings) {
		for _, f := range changes {
			f(s)
		}
	}
}

// answered has one call begin that is answered so after a time.
func answered(d time.Duration, status int) func(*rig) {
	return func(r *rig) {
		r.begin(Request{})
		r.respond(d, status)
	}
}

// refusedCall has one call begin that is answered by the agent.
func refusedCall(r *rig) { r.want(r.start(t0, Request{}), Reject) }

// afterFailure has a call begin after another has failed.
func afterFailure(then func(*rig)) func(*rig) {
	return func(r *rig) {
		answered(0, 503)(r)
		then(r)
	}
}

// opensAtOnce has the first failure open the breaker.
func opensAtOnce(s *policy.Settings) {
	breaking(s)
	s.Breaker.ConsecutiveFailures = 1
}

// waitsAndStarts has one call begin that waits at a gate, and is answered.
func waitsAndStarts(r *rig) {
	r.want(r.start(t0, Request{}), Park)
	r.id = r.want(r.call.Woken(at(ms)), StartAttempt).Attempt
	r.placed(at(ms))
	r.want(r.respond(2*ms, 200), Forward)
}

// gateOf makes a gate that answers so.
func gateOf(answers ...resilience.Entry) []Gate { return []Gate{&fakeGate{answers: answers}} }

var fallsBackAlways = &Fallback{On: always, Status: 299}

var wouldCases = map[string]wouldCase{
	"the same":                  {calls: answered(ms, 200), want: WouldSame},
	"a retry":                   {is: noRetries, calls: answered(ms, 503), want: WouldRetry, after: ms},
	"no retry":                  {would: noRetries, calls: answered(ms, 503), want: WouldNotRetry, after: ms},
	"a hedge":                   {plans: func(_, w *Plan) { w.Hedge = Hedge{After: 200 * ms, Max: 1} }, calls: answered(300*ms, 200), want: WouldHedge, after: 200 * ms},
	"an attempt that times out": {would: func(s *policy.Settings) { s.Timeouts.PerTry = 200 * ms }, calls: answered(300*ms, 200), want: WouldTimeOutAttempt, limit: LimitPerTry, after: 200 * ms},
	"a call that does":          {would: func(s *policy.Settings) { s.Timeouts.Overall = 200 * ms }, calls: answered(300*ms, 200), want: WouldTimeOut, limit: LimitOverall, after: 200 * ms},
	"a response that is cut": {
		would: func(s *policy.Settings) { s.Timeouts.MaxDuration = time.Second },
		calls: func(r *rig) {
			answered(ms, 200)(r)
			r.finished(at(2*time.Second), End{GRPCStatus: -1})
		},
		want: WouldEnd, limit: LimitMaxDuration, after: time.Second,
	},
	"a breaker that is open": {is: noRetries, would: allOf(noRetries, opensAtOnce), calls: afterFailure(func(r *rig) { r.begin(Request{}) }), want: WouldReject},
	"a limit":                {plans: func(_, w *Plan) { w.Gates = gateOf(resilience.Entry{Verdict: resilience.Refuse}) }, calls: answered(0, 200), want: WouldLimit},
	"a queue":                {plans: func(_, w *Plan) { w.Gates = gateOf(parks(time.Second)) }, calls: answered(0, 200), want: WouldQueue},
	"a fallback":             {is: noRetries, would: noRetries, plans: func(_, w *Plan) { w.Fallback = fallsBackAlways }, calls: answered(ms, 503), want: WouldFallBack, after: ms},
	"no limit":               {plans: func(p, _ *Plan) { p.Gates = gateOf(resilience.Entry{Verdict: resilience.Refuse}) }, calls: refusedCall, want: WouldLetIn},
	"no queue": {
		plans: func(p, _ *Plan) { p.Gates = gateOf(parks(time.Second), resilience.Entry{Verdict: resilience.Refuse}) },
		calls: func(r *rig) {
			r.want(r.start(t0, Request{}), Park)
			r.want(r.call.Woken(at(ms)), Reject)
		},
		want: WouldLetIn,
	},
	"no queue before it starts": {
		plans: func(p, _ *Plan) { p.Gates = gateOf(parks(time.Second), resilience.Entry{}) },
		calls: waitsAndStarts,
		want:  WouldLetIn,
	},
	"the same queue": {
		plans: func(p, w *Plan) {
			p.Gates, w.Alike.Gates = gateOf(parks(time.Second), resilience.Entry{}), 1
		},
		calls: waitsAndStarts,
		want:  WouldSame,
	},
	"no open breaker": {is: allOf(noRetries, opensAtOnce), would: noRetries, calls: afterFailure(refusedCall), want: WouldLetIn},
	"something else":  {plans: func(p, _ *Plan) { p.Fallback = fallsBackAlways }, is: noRetries, would: noRetries, calls: answered(ms, 503), want: WouldDiffer, after: ms},
}

func TestWhatADryRunWouldHaveDone(t *testing.T) {
	var covered [WouldCount]bool
	for name, tc := range wouldCases {
		covered[tc.want] = true
		t.Run(name, func(t *testing.T) {
			r, would := newRig(t, tc.is), newRig(t, tc.would)
			if r.plan.Shadow = &would.plan; tc.plans != nil {
				tc.plans(&r.plan, &would.plan)
			}
			tc.calls(r)
			d, differs := r.call.Divergence()
			if d.Would != tc.want || d.Limit != tc.limit || d.After != tc.after || differs != (tc.want != WouldSame) {
				t.Errorf("it would have been %v after %v by limit %v, want %v after %v by limit %v", d.Would, d.After, d.Limit, tc.want, tc.after, tc.limit)
			}
		})
	}
	for w, ok := range covered {
		if !ok {
			t.Errorf("no case has %v", Would(w))
		}
	}
}
