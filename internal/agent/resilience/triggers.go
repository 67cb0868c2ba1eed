package resilience

import (
	"math"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// forever is later than any time.
const forever = time.Duration(math.MaxInt64)

// triggers are the windows of one closed period. Their methods take the time since the breaker's origin.
type triggers struct {
	errors, slow *window // nil: none
	threshold    time.Duration
	shared       bool // the cluster shares the breaker
}

func newTriggers(cfg *policy.Breaker) *triggers {
	t := &triggers{shared: cfg.Sharing == policy.ShareCluster}
	if e := cfg.ErrorRate; e != nil {
		t.errors = newWindow(e.Window, e.Percent, e.MinimumRequests)
	}
	if s := cfg.SlowCalls; s != nil {
		t.slow, t.threshold = newWindow(s.Window, s.Percent, s.MinimumRequests), s.Threshold
	}
	return t
}

func (t *triggers) isSlow(took time.Duration) bool { return t.slow != nil && took > t.threshold }

// succeeds counts a success that was not slow. It needs no guard.
func (t *triggers) succeeds(since time.Duration, shard uint8) {
	if t.errors != nil {
		t.errors.succeeds(since, shard)
	}
	if t.slow != nil {
		t.slow.succeeds(since, shard)
	}
}

// record counts a result and reports whether a trigger fires. If none does, quiet is the time until which successes alone cannot fire one.
func (t *triggers) record(since time.Duration, r Result) (fires bool, quiet time.Duration) {
	quiet = forever
	if w := t.errors; w != nil {
		if !r.GivenUp {
			w.count(since, r.Failed, r.Shard)
		}
		reached, until := w.reached(since)
		fires, quiet = reached && !r.GivenUp, min(quiet, until)
	}
	if w := t.slow; w != nil {
		w.count(since, t.isSlow(r.Took), r.Shard)
		reached, until := w.reached(since)
		fires, quiet = fires || reached, min(quiet, until)
	}
	return fires, quiet
}
