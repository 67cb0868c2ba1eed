package soak

import (
	"io"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// orderly is a round of calls in which nothing is wrong: each was answered by its first attempt, 10 ms after the one before, within 5 ms.
func orderly(calls int) *round {
	start := time.Now()
	s := policy.Defaults()
	r := &round{lag: &lag{}, pods: make([]*pod, 1), versions: []*version{{settings: s, ruled: s, from: start}}}
	for i := range calls {
		at := start.Add(time.Duration(i) * 10 * time.Millisecond)
		a := &account{id: i, method: "POST", begun: at, sent: at, head: at.Add(5 * time.Millisecond), ended: at.Add(5 * time.Millisecond), sends: 1, status: 200, whole: true}
		a.steps = []step{{status: 200}}
		r.accounts = append(r.accounts, a)
		a.seen(time.Millisecond)
	}
	return r
}

// seen notes an attempt.
func (a *account) seen(after time.Duration) *receipt {
	p := a.received(&brittleConn{}, a.key)
	p.at, p.answered, p.last, p.whole = a.begun.Add(after), a.begun.Add(after+time.Millisecond), a.begun.Add(after+2*time.Millisecond), true
	p.read, p.answers = p.at, p.answered
	return p
}

// The checker finds what is wrong, each in a round where nothing else is.
func TestTheCheckerFindsWhatIsWrong(t *testing.T) {
	if r := orderly(40); true {
		r.check()
		if n := r.count.Load(); n > 0 {
			t.Fatalf("%d violations in a round where nothing is wrong", n)
		}
	}
	settings := func(r *round) *policy.Settings { return &r.versions[0].settings }
	for name, spoil := range map[string]func(r *round){
		"a POST is executed twice":   func(r *round) { r.accounts[3].seen(3 * time.Millisecond) },
		"other bytes came":           func(r *round) { r.accounts[3].wrong = "other bytes" },
		"a server got other bytes":   func(r *round) { r.accounts[3].receipts[0].wrong = "other bytes" },
		"the body is short":          func(r *round) { r.accounts[3].receipts[0].step.size = 7 },
		"another status came":        func(r *round) { r.accounts[3].status = 201 },
		"an answer nobody has given": func(r *round) { r.accounts[3].answer = 4 },
		"a good answer is not the last": func(r *round) {
			settings(r).Retry.Idempotency = policy.AnyMethod
			r.accounts[3].seen(3 * time.Millisecond)
		},
		"the deadline is missed": func(r *round) {
			settings(r).Timeouts.Overall = time.Second
			r.accounts[3].head = r.accounts[3].sent.Add(time.Minute)
		},
		"it is said at once that the deadline has passed": func(r *round) {
			settings(r).Timeouts.Overall = time.Second
			r.answerItself(3, "deadline", 504)
		},
		"it is said at once that an attempt took too long": func(r *round) {
			settings(r).Timeouts.PerTry = time.Second
			r.answerItself(3, "per_try_timeout", 504)
		},
		"no answer comes by the deadline": func(r *round) {
			settings(r).Timeouts.Overall = time.Second
			a := r.accounts[3]
			a.head, a.status, a.answer, a.whole, a.err, a.ended = time.Time{}, 0, -1, false, io.ErrUnexpectedEOF, a.sent.Add(30*time.Second)
		},
		"an attempt is waited for too long": func(r *round) {
			settings(r).Timeouts.PerTry = 50 * time.Millisecond
			a := r.accounts[3]
			a.receipts[0].answers = a.receipts[0].read.Add(10 * time.Second)
			a.head, a.ended = a.head.Add(10*time.Second), a.ended.Add(10*time.Second)
		},
		"retries without a budget": func(r *round) {
			s := settings(r)
			s.Retry.Idempotency, s.Retry.MaxRetries, s.Retry.Budget = policy.AnyMethod, 3, policy.Budget{Window: time.Second}
			for _, a := range r.accounts {
				a.receipts[0].step.status = 503
				a.seen(3 * time.Millisecond)
				a.answer = 1
			}
		},
		"a limit refuses what it has room for": func(r *round) {
			r.fixed.rate = &policy.RateLimit{Requests: 1000, Per: time.Second, Burst: 100}
			settings(r).RateLimit = r.fixed.rate
			for i := range r.accounts {
				r.answerItself(i, "rate_limited", 429)
			}
		},
		"a limit refuses what it has a token for": func(r *round) {
			r.fixed.rate = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 3, MaxWait: 5 * time.Millisecond}
			settings(r).RateLimit = r.fixed.rate
			r.answerItself(9, "rate_limited", 429)
		},
		"a limit has free places": func(r *round) {
			r.fixed.concurrency = &policy.Concurrency{Max: 6}
			settings(r).Concurrency = r.fixed.concurrency
			r.answerItself(9, "rate_limited", 429)
		},
		"a reason without cause": func(r *round) {
			r.accounts[3].reason, r.accounts[3].status, r.accounts[3].answer = "circuit_open", 503, -1
		},
		"a reason with another status": func(r *round) { r.accounts[3].reason, r.accounts[3].status, r.accounts[3].answer = "reset", 504, -1 },
		"a call fails without a cause": func(r *round) { r.calm, r.fixed.kind = true, kindCalm; r.accounts[3].whole = false },
		"keys differ": func(r *round) {
			settings(r).Retry.Idempotency = policy.AnyMethod
			r.accounts[3].receipts[0].step.status = 503
			r.accounts[3].status = 503
			r.accounts[3].seen(3 * time.Millisecond).key = "other"
		},
		"the rate is exceeded": func(r *round) { r.fixed.rate = &policy.RateLimit{Requests: 50, Per: time.Second, Burst: 2} },
		"too many are under way": func(r *round) {
			r.fixed.concurrency = &policy.Concurrency{Max: 1}
			r.accounts[3].receipts[0].last = r.accounts[5].begun
		},
		"a marked call is tried again": func(r *round) {
			s := settings(r)
			s.Retry.Idempotency, s.Retry.SkipRetried, s.Retry.MaxRetries = policy.AnyMethod, true, 3
			a := r.accounts[3]
			a.marked = true
			for i := range 3 {
				a.receipts[i].step.status = 503
				a.seen(time.Duration(i+2) * time.Millisecond)
			}
		},
		"a gRPC call is tried again behind a message": func(r *round) {
			s := settings(r)
			s.Retry.Idempotency, s.Retry.GRPCStatuses, s.Retry.MaxRetries = policy.AnyMethod, []policy.GRPCStatus{14}, 3
			a := r.accounts[3]
			a.rpc, a.code, a.message = true, 14, true
			a.receipts[0].step.status, a.receipts[0].step.pieces = 503, 1
			a.seen(3 * time.Millisecond)
		},
		"another status of gRPC came": func(r *round) { r.accounts[3].rpc, r.accounts[3].message, r.accounts[3].code = true, true, 13 },
		"a share is exceeded": func(r *round) {
			r.fixed.rate = &policy.RateLimit{Requests: 1000, Per: time.Second, Burst: 50, Scope: policy.ShareCluster}
			r.fixed.share = policy.Share{Rate: 50, Burst: 2}
		},
		"an endpoint is called that is out": func(r *round) {
			r.failAt(1)
			r.failAt(5)
		},
		"a call is rejected for an endpoint": func(r *round) {
			r.failAt(1)
			r.reject(5)
			settings(r).Breaker = r.fixed.breaker
		},
		"a circuit opens for two": func(r *round) {
			r.reject(3)
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 3, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit opens for failures that are not in a row": func(r *round) {
			for _, i := range []int{1, 5, 9} {
				r.accounts[i].receipts[0].step.status, r.accounts[i].status = 500, 500
			}
			r.reject(13)
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 3, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit opens for a rate that is not reached": func(r *round) {
			for _, i := range []int{1, 2, 3, 4} {
				r.accounts[i].receipts[0].step.status, r.accounts[i].status = 500, 500
			}
			r.reject(13)
			r.fixed.breaker = &policy.Breaker{ErrorRate: &policy.ErrorRate{Percent: 50, MinimumRequests: 10, Window: time.Second}, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit opens for a rate of another time": func(r *round) {
			for _, i := range []int{1, 2, 3, 4, 20} {
				r.accounts[i].receipts[0].step.status, r.accounts[i].status = 500, 500
			}
			r.reject(28)
			r.fixed.breaker = &policy.Breaker{ErrorRate: &policy.ErrorRate{Percent: 50, MinimumRequests: 10, Window: 100 * time.Millisecond}, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit opens for calls that are not slow": func(r *round) {
			r.reject(13)
			r.fixed.breaker = &policy.Breaker{SlowCalls: &policy.SlowCalls{Threshold: 50 * time.Millisecond, Percent: 10, MinimumRequests: 2, Window: time.Second}, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit does not open": func(r *round) {
			for i := 1; i < 9; i++ {
				r.accounts[i].receipts[0].step.status, r.accounts[i].status = 500, 500
			}
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 3, OpenDuration: 200 * time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a fallback is left out": func(r *round) {
			r.reject(3)
			r.accounts[1].receipts[0].step.status, r.accounts[1].status = 500, 500
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 1, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
			settings(r).Fallback = &policy.Fallback{On: policy.FallbackOn{CircuitOpen: true}, Response: standIn}
		},
		"a rule is left out": func(r *round) {
			settings(r).Timeouts.Overall = time.Second
			r.answerItself(3, "deadline", 504)
			r.accounts[3].head = r.accounts[3].begun.Add(time.Second)
			r.accounts[3].ruled = true
		},
		"a circuit opens for one, later": func(r *round) {
			for _, i := range []int{1, 2, 12} {
				r.accounts[i].receipts[0].step.status, r.accounts[i].status = 500, 500
			}
			r.reject(3)
			r.reject(15)
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 2, OpenDuration: time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit that is half-open lets many pass": func(r *round) {
			r.accounts[1].receipts[0].step.status, r.accounts[1].status = 500, 500
			for i := 2; i < 12; i++ {
				r.reject(i)
			}
			for _, a := range r.accounts[12:27] {
				a.receipts[0].step.status, a.status = 503, 503
			}
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 1, OpenDuration: 100 * time.Millisecond, SuccessesToClose: 1, Probes: 1}
		},
		"a circuit closes soon": func(r *round) {
			r.accounts[1].receipts[0].step.status, r.accounts[1].status = 500, 500
			r.reject(3)
			r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 1, OpenDuration: time.Second, SuccessesToClose: 1, Probes: 1}
		},
	} {
		t.Run(name, func(t *testing.T) { finds(t, spoil, !suspicions[name]) })
	}
}

// suspicions are what a machine that stops for a while can look like. All else fails a soak whenever it is seen.
var suspicions = map[string]bool{
	"a probe comes soon after one that has failed": true,
	"a response that stops is waited for":          true,
	"connecting goes on":                           true,
	"the cluster keeps a well node from calling":   true,
	"no hedge":                                           true,
	"two probes at once":                                 true,
	"a circuit does not close":                           true,
	"a circuit does not open":                            true,
	"an attempt is waited for too long":                  true,
	"a limit has free places":                            true,
	"a circuit opens for one, later":                     true,
	"a circuit closes soon":                              true,
	"a circuit opens for calls that are not slow":        true,
	"no answer comes by the deadline":                    true,
	"a circuit that is half-open lets many pass":         true,
	"a limit refuses what it has a token for":            true,
	"the deadline is missed":                             true,
	"a circuit opens for failures that are not in a row": true,
	"a circuit opens for a rate that is not reached":     true,
	"a limit refuses what it has room for":               true,
	"a circuit opens for a rate of another time":         true,
}

// finds has the checker look at a round in which one thing is wrong.
func finds(t *testing.T, spoil func(r *round), certain bool) {
	t.Helper()
	r := orderly(40)
	spoil(r)
	r.check()
	if r.count.Load() == 0 {
		t.Error("it found nothing")
	}
	if r.certain() != certain {
		t.Errorf("it is certain of what it found: %v", r.certain())
	}
}

// failAt has a call fail at an endpoint with a breaker of its own.
func (r *round) failAt(i int) {
	r.fixed.ill = true
	r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 1, OpenDuration: time.Second, Scope: policy.ScopeEndpoint}
	a := r.accounts[i]
	a.receipts[0].ill, a.receipts[0].step.status, a.status = true, 503, 503
}

// answerItself has the agent answer a call that no server has seen.
func (r *round) answerItself(i int, reason string, status int) {
	a := r.accounts[i]
	a.reason, a.status, a.answer, a.receipts = reason, status, -1, nil
}

// reject has a call be rejected by an open circuit.
func (r *round) reject(i int) {
	settings := &r.versions[0].settings
	settings.Breaker = &policy.Breaker{}
	r.answerItself(i, "circuit_open", 503)
}

// What may have closed a circuit is what a breaker takes for a success, which is less than a client does: 501 is no failure of the server's, and a probe has
// succeeded with the first message of gRPC, whatever status follows.
func TestWhatMayCloseACircuit(t *testing.T) {
	for name, tc := range map[string]struct {
		rpc  bool
		step step
		want bool
	}{
		"an answer":                             {false, step{status: 200}, true},
		"a failure":                             {false, step{status: 503}, false},
		"what the server does not know":         {false, step{status: 501}, true},
		"no answer":                             {false, step{status: 200, fault: abort}, false},
		"an answer that breaks off":             {false, step{status: 200, fault: abortBody}, true},
		"a status of gRPC alone":                {true, step{status: 503}, false},
		"a message and then a status of gRPC":   {true, step{status: 503, pieces: 2}, true},
		"a status of gRPC that is no failure":   {true, step{status: 404}, true},
		"a stream that ends before its message": {true, step{status: 200, fault: breakEarly}, false},
	} {
		if got := (&receipt{step: tc.step}).maySucceed(&account{rpc: tc.rpc}); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
