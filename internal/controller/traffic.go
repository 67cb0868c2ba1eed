package controller

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// figuresOf sums what agents reported of the calls that the policy has a part in: a call that several policies govern counts for each.
func figuresOf(v *view, traffic func(policy.ID) distribute.Figures) distribute.Figures {
	var sum distribute.Figures
	seen := map[policy.ID]struct{}{}
	for key := range v.reports {
		if _, ok := seen[key.policy]; ok {
			continue
		}
		seen[key.policy] = struct{}{}
		f := traffic(key.policy)
		for _, t := range f.Targets {
			if _, ok := v.reports[reportKey{key.policy, t.Target}]; ok {
				sum.Targets = append(sum.Targets, t)
				sum.Counts = sum.Counts.Plus(t.Counts)
				sum.Latency.Add(&t.Latency)
				sum.BreakersOpen += t.BreakersOpen
				sum.Connections += t.Connections
				sum.PerSecond += t.PerSecond
				sum.Covered = max(sum.Covered, t.Covered)
			}
		}
		if f.AsOf.After(sum.AsOf) {
			sum.AsOf = f.AsOf
		}
		sum.Problems = append(sum.Problems, f.Problems...)
	}
	sum.Problems, sum.Uncaptured = distinctPods(sum.Problems)
	return sum
}

// distinctPods sorts problems by pod, leaves one for each, and counts them.
func distinctPods(problems []policy.CaptureProblem) ([]policy.CaptureProblem, int) {
	byPod := func(a, b policy.CaptureProblem) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	}
	slices.SortStableFunc(problems, byPod)
	problems = slices.CompactFunc(problems, func(a, b policy.CaptureProblem) bool { return byPod(a, b) == 0 })
	return problems, len(problems)
}

// leastCovered is how much time reports must cover for their figures to be shown: a rate over the first moment would be a guess, and
// would stand until the next write.
const leastCovered = 4 * time.Second

// trafficOf returns the figures as status shows them, or nil if no agent reported, or the first calls were reported only just now.
func trafficOf(v *view, f *distribute.Figures) *v1alpha1.TrafficStatus {
	if f.AsOf.IsZero() || f.Covered > 0 && f.Covered < leastCovered {
		return nil
	}
	c := &f.Counts
	asOf := metav1.NewTime(f.AsOf.UTC().Truncate(time.Second))
	t := &v1alpha1.TrafficStatus{
		Window:          v1alpha1.Duration(fmt.Sprintf("%dm", distribute.Window/time.Minute)),
		AsOf:            &asOf,
		Requests:        shown(c.Requests),
		Retries:         shown(c.Retries),
		RetrySuccesses:  shown(c.RetrySuccesses),
		NotRetried:      notRetriedOf(c),
		Timeouts:        shown(c.Timeouts),
		RateLimited:     shown(c.RateLimited),
		BreakerRejected: shown(c.BreakerRejected),
		BreakersOpen:    shown(uint64(f.BreakersOpen)),
		P50:             milliseconds(f.Latency.Quantile(0.5)),
		P99:             milliseconds(f.Latency.Quantile(0.99)),
		RPS:             callsPerSecond(f.PerSecond),
	}
	if c.Requests > 0 {
		// Rounded down, so that 100 means all.
		share := int32(100 * float64(min(c.Successes, c.Requests)) / float64(c.Requests))
		t.SuccessPercent = &share
		t.Success = percent(c.Successes, c.Requests)
	}
	if v.breaker {
		t.Breaker = string(v1alpha1.BreakerStateClosed)
		if f.BreakersOpen > 0 {
			t.Breaker = fmt.Sprintf("%s(%d)", v1alpha1.BreakerStateOpen, t.BreakersOpen)
		}
	}
	return t
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

// mostShown bounds what is said to have been counted: a whole status would be refused for one figure that does not fit.
const mostShown = 1e12

func shown(n uint64) int64 { return int64(min(n, mostShown)) }

// milliseconds rounds d up to milliseconds, as a GEP-2257 duration.
func milliseconds(d time.Duration) v1alpha1.Duration {
	if d <= 0 {
		return ""
	}
	ms := int64(math.Ceil(float64(d) / float64(time.Millisecond)))
	return v1alpha1.Duration(fmt.Sprintf("%dms", min(ms, 99999)))
}

// callsPerSecond shows calls per second: with a decimal below 100.
func callsPerSecond(perSecond float64) string {
	if perSecond = min(perSecond, mostShown); perSecond >= 100 || perSecond == 0 {
		return fmt.Sprintf("%.0f", perSecond)
	}
	return fmt.Sprintf("%.1f", perSecond)
}

// percent shows a share with two decimals, rounded down, and 100% only for all.
func percent(part, whole uint64) string {
	if part >= whole {
		return "100%"
	}
	return fmt.Sprintf("%.2f%%", math.Floor(float64(part)/float64(whole)*10000)/100)
}

// sameTraffic reports whether the figures are equal, whenever they were taken.
func sameTraffic(a, b *v1alpha1.TrafficStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := a.DeepCopy(), b.DeepCopy()
	x.AsOf, y.AsOf = nil, nil
	return equal(x, y)
}
