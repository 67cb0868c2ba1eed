package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// leastCovered is how much time reports must cover for their figures to be shown: a rate over the first moment would be a guess,
	// and would stand until the next write.
	leastCovered = 4 * time.Second
	// Silence is after how much time without a report of any agent that has the policy its figures go: they say what happened within a
	// window, and that is over.
	Silence = distribute.Window
)

// silent reports whether no agent has reported on the policy for so long that nothing is known of its traffic.
func (a *Reports) silent() bool {
	if a.Figures.AsOf.IsZero() {
		return a.KnownFor >= Silence
	}
	return a.Figures.Age >= Silence
}

// trafficOf returns the figures as status shows them, given those it shows now; nil without any.
func trafficOf(v *index.View, agents *Reports, base *v1alpha1.TrafficStatus) *v1alpha1.TrafficStatus {
	f := &agents.Figures
	switch {
	case len(v.Reports) == 0 || agents.silent():
		return nil
	case f.AsOf.IsZero() || f.Covered > 0 && f.Covered < leastCovered:
		return base // agents have yet to come back, or the first calls were reported only just now
	}
	c := &f.Counts
	asOf := metav1.NewTime(f.AsOf.UTC().Truncate(time.Second))
	t := &v1alpha1.TrafficStatus{
		Window:          v1alpha1.Duration(fmt.Sprintf("%dm", distribute.Window/time.Minute)),
		AsOf:            &asOf,
		Requests:        shown(c.Requests),
		Abandoned:       shown(c.Abandoned),
		Truncated:       shown(c.Truncated),
		Retries:         shown(c.Retries),
		RetrySuccesses:  shown(c.RetrySuccesses),
		NotRetried:      notRetriedOf(c),
		Timeouts:        shown(c.Timeouts),
		RateLimited:     shown(c.RateLimited),
		BreakerRejected: shown(c.BreakerRejected),
		PoolOverflow:    shown(c.PoolOverflow),
		Hedges:          shown(c.Hedges), HedgesWon: shown(c.HedgesWon), Fallbacks: shown(c.Fallbacks),
		BreakersOpen:     shown(uint64(f.Breakers.Open)),
		BreakersHalfOpen: shown(uint64(f.Breakers.HalfOpen)),
		Opaque:           opaqueOf(f),
		DryRun:           dryRunOf(f),
		OlderConnections: shown(uint64(f.OlderConnections)),
		P50:              quantile(&f.Latency, 0.5),
		P99:              quantile(&f.Latency, 0.99),
		RPS:              callsPerSecond(f.PerSecond),
		Breaker:          breakerColumn(v, f),
	}
	if base != nil && unknown(&f.Breakers) {
		t.Breaker, t.BreakersOpen, t.BreakersHalfOpen = base.Breaker, base.BreakersOpen, base.BreakersHalfOpen
	}
	t.SuccessPercent, t.Success = successOf(c)
	return t
}

// successOf returns the share of calls that ended well, rounded down, so that 100 means all; nothing without calls.
func successOf(c *policy.Counts) (*int32, string) {
	if c.Requests == 0 {
		return nil, ""
	}
	share := int32(100 * float64(min(c.Successes, c.Requests)) / float64(c.Requests))
	return &share, percent(c.Successes, c.Requests)
}

// unknown reports whether the state of the breakers is not known: none that is open is reported, and the agent of one that was has gone.
// The status keeps its figures then.
func unknown(b *distribute.Breakers) bool { return b.Lost > 0 && b.Open+b.HalfOpen == 0 }

// stateOf returns the worst state of breakers, or "" for those of a policy that has none and is merged with none that matters.
func stateOf(v *index.View, b *distribute.Breakers) v1alpha1.BreakerState {
	switch {
	case b.Open > 0:
		return v1alpha1.BreakerStateOpen
	case b.HalfOpen > 0:
		return v1alpha1.BreakerStateHalfOpen
	case v.HasBreaker:
		return v1alpha1.BreakerStateClosed
	}
	return ""
}

// noBreaker is the column BREAKER of a policy without one.
const noBreaker = "-"

func breakerColumn(v *index.View, f *distribute.Figures) string {
	b := &f.Breakers
	switch state := stateOf(v, b); state {
	case v1alpha1.BreakerStateOpen:
		return fmt.Sprintf("%s(%d)", state, shown(uint64(b.Open)))
	case v1alpha1.BreakerStateHalfOpen:
		return fmt.Sprintf("%s(%d)", state, shown(uint64(b.HalfOpen)))
	case v1alpha1.BreakerStateClosed:
		if f.Ejected > 0 {
			return fmt.Sprintf("Ejected(%d)", shown(uint64(f.Ejected)))
		}
		return string(state)
	}
	return noBreaker
}

func opaqueOf(f *distribute.Figures) *v1alpha1.OpaqueTraffic {
	c := &f.Counts
	if c.Opaque == 0 && c.OpaqueSent == 0 && c.OpaqueReceived == 0 && f.OpaqueOpen == 0 {
		return nil
	}
	o := &v1alpha1.OpaqueTraffic{
		Opened: shown(c.Opaque), Open: shown(uint64(f.OpaqueOpen)), SentBytes: shown(c.OpaqueSent), ReceivedBytes: shown(c.OpaqueReceived),
	}
	o.Summary = fmt.Sprintf("%d open, %d opened", o.Open, o.Opened)
	return o
}

func notRetriedOf(c *policy.Counts) *v1alpha1.NotRetried {
	n := v1alpha1.NotRetried{
		Method: shown(c.NotRetriedMethod), Body: shown(c.NotRetriedBody), Budget: shown(c.NotRetriedBudget),
		Deadline: shown(c.NotRetriedDeadline), NotRetryable: shown(c.NotRetriedNotRetryable), Exhausted: shown(c.NotRetriedExhausted),
	}
	if n == (v1alpha1.NotRetried{}) {
		return nil
	}
	return &n
}

// mostShown bounds the counts in a status: the API server would refuse the whole status for one that is too large.
const mostShown = 1e12

func shown(n uint64) int64 { return int64(min(n, mostShown)) }
