package soak

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// fails has the calls from one to another be answered by servers that all fail.
func (r *round) fails(from, to int) {
	r.fixed.kind = kindOutage
	r.fixed.breaker = &policy.Breaker{ConsecutiveFailures: 1, OpenDuration: 100 * time.Millisecond, OpenMaxDuration: time.Second, SuccessesToClose: 1, Probes: 1}
	r.versions[0].settings.Breaker = r.fixed.breaker
	r.outage = span{r.accounts[from].begun, r.accounts[to].begun.Add(-time.Millisecond)}
	for _, a := range r.accounts[from:to] {
		a.receipts[0].down, a.receipts[0].step.status, a.status = true, 503, 503
	}
}

// only keeps the calls that servers see of some.
func (r *round) only(seen ...int) {
	for i, a := range r.accounts {
		keep := false
		for _, n := range seen {
			keep = keep || n == i
		}
		if !keep && a.receipts[0].down {
			r.reject(i)
		}
	}
	r.versions[0].settings.Breaker = r.fixed.breaker
}

// exact has the round be one in which the settings say all.
func (r *round) exact(k kind, change func(s *policy.Settings)) {
	r.fixed.kind = k
	s := &r.versions[0].settings
	s.Retry.Idempotency, s.Retry.Budget, s.Retry.On = policy.AnyMethod, ample, policy.Of(policy.ServerError)
	s.Retry.Backoff = policy.Backoff{Strategy: policy.Fixed, Initial: time.Millisecond, Max: time.Millisecond, Jitter: policy.JitterNone}
	change(s)
}

// The checker finds what is wrong where the rules say exactly what is right.
func TestTheCheckerFindsWhatIsNotExact(t *testing.T) {
	for name, spoil := range map[string]func(r *round){
		"two probes at once": func(r *round) {
			r.fails(2, 30)
			r.only(2, 25, 26)
			r.accounts[25].receipts[0].answers = r.accounts[26].begun.Add(5 * time.Millisecond)
		},
		"a probe comes soon after one that has failed": func(r *round) {
			r.fails(2, 39)
			r.only(2, 26, 37) // it is 110 ms, and the circuit stays open for 200 then
		},
		"a circuit does not close": func(r *round) {
			r.fails(2, 10)
			r.only(2)
			r.reject(39)
			r.versions[0].settings.Breaker = r.fixed.breaker
		},
		"a call is not repeated": func(r *round) {
			r.exact(kindRetries, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
			a := r.accounts[3]
			a.steps[0].status, a.receipts[0].step.status, a.status = 500, 500, 500
		},
		"an override is left out": func(r *round) {
			r.exact(kindRetries, func(s *policy.Settings) {
				s.Retry.Overrides = []policy.RetryOverride{{StatusCodes: []policy.StatusRange{{From: 500, To: 500}}, MaxRetries: 0}}
			})
			a := r.accounts[3]
			a.steps, a.status, a.answer = []step{{status: 500}}, 500, 1
			a.receipts[0].step.status = 500
			a.seen(3 * time.Millisecond).step.status = 500
		},
		"a server's wish is left out": func(r *round) {
			r.exact(kindRetries, func(s *policy.Settings) { s.Retry.RetryAfter = policy.RetryAfter{Honor: true, Max: time.Second} })
			a := r.accounts[3]
			a.steps, a.answer = []step{{status: 500, wait: 50 * time.Millisecond}, {status: 200}}, 1
			a.receipts[0].step = a.steps[0]
			a.seen(4 * time.Millisecond)
		},
		"a fallback is left out when retries are exhausted": func(r *round) {
			r.exact(kindRetries, func(s *policy.Settings) {
				s.Retry.On, s.Fallback = 0, &policy.Fallback{On: policy.FallbackOn{RetriesExhausted: true}, Response: standIn}
			})
			a := r.accounts[3]
			a.steps[0].status, a.receipts[0].step.status, a.status = 500, 500, 500
		},
		"the backup is called though nothing has failed": func(r *round) {
			r.exact(kindRetries, func(s *policy.Settings) {
				s.Fallback = &policy.Fallback{On: policy.FallbackOn{CircuitOpen: true}, Destination: &policy.Target{}}
			})
			r.accounts[3].backedUp(&brittleConn{}, "")
		},
		"a hedge too many": func(r *round) {
			r.exact(kindHedges, func(s *policy.Settings) { s.Retry.Hedging = policy.Hedging{Max: 1, Delay: time.Millisecond} })
			r.accounts[3].seen(2 * time.Millisecond)
			r.accounts[3].seen(3 * time.Millisecond)
		},
		"no hedge": func(r *round) {
			r.exact(kindHedges, func(s *policy.Settings) { s.Retry.Hedging = policy.Hedging{Max: 1, Delay: 20 * time.Millisecond} })
			a := r.accounts[3]
			a.head, a.ended = a.head.Add(time.Second), a.ended.Add(time.Second)
		},
		"it passes a circuit that is open by hand": func(r *round) {
			r.fixed.kind = kindForced
			r.versions[0].forced = policy.ForcedBreaker{Open: true, Until: time.Now().Unix() + 10}
		},
		"a circuit is open by hand for too long": func(r *round) {
			r.fixed.kind = kindForced
			r.reject(3)
			r.versions[0].settings.Breaker = nil
			r.versions[0].forced = policy.ForcedBreaker{Open: true, Until: r.accounts[0].begun.Unix() - 1}
		},
		"a fault outlives its end": func(r *round) {
			r.exact(kindFaults, func(s *policy.Settings) {
				s.Faults = &policy.Faults{Percent: 50, Until: r.accounts[0].begun.Unix() - 1, Abort: policy.FaultResponse}
			})
			r.answerItself(3, "fault_injected", faultStatus)
		},
		"a fault does not come": func(r *round) {
			r.exact(kindFaults, func(s *policy.Settings) {
				s.Faults = &policy.Faults{Percent: 100, Until: r.accounts[0].begun.Unix() + 10, Abort: policy.FaultResponse}
			})
		},
		"a response that stops is waited for": func(r *round) {
			r.exact(kindTimeouts, func(s *policy.Settings) { s.Timeouts.Read = 50 * time.Millisecond })
			a := r.accounts[3]
			a.receipts[0].stalled, a.receipts[0].resumed = a.begun, a.begun.Add(time.Second)
			a.ended = a.begun.Add(time.Second)
		},
		"connecting goes on": func(r *round) {
			r.versions[0].settings.Timeouts.Connect = 50 * time.Millisecond
			r.versions[0].ruled.Timeouts.Connect = 50 * time.Millisecond
			r.dials = []span{{r.accounts[3].begun, r.accounts[3].begun.Add(time.Second)}}
		},
		"the cluster keeps a well node from calling": func(r *round) {
			r.fails(2, 3)
			r.fixed.kind, r.fixed.sick, r.cluster = kindCluster, true, &cluster{}
			r.reject(9)
			r.accounts[9].pod = 1
			r.versions[0].settings.Breaker = r.fixed.breaker
		},
		"a connection comes to two servers": func(r *round) {
			r.fixed.kind = kindOpaque
			r.accounts[3].seen(3 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) { finds(t, spoil, !suspicions[name]) })
	}
}
