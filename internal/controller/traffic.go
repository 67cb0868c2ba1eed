package controller

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// figuresOf sums what agents reported of the calls that the policy has a part in: a call that several policies govern counts for each. What
// they say of pods they say of each policy.
func figuresOf(v *view, traffic func(policy.ID) distribute.Figures) distribute.Figures {
	own := traffic(v.id)
	sum := distribute.Figures{OlderConnections: own.OlderConnections}
	seen := map[policy.ID]struct{}{}
	for key := range v.reports {
		if _, ok := seen[key.policy]; ok {
			continue
		}
		seen[key.policy] = struct{}{}
		f := own
		if key.policy != v.id {
			f = traffic(key.policy)
		}
		for _, t := range f.Targets {
			if _, ok := v.reports[reportKey{key.policy, t.Target}]; ok {
				sum.Add(&t)
			}
		}
		if !f.AsOf.IsZero() && (sum.AsOf.IsZero() || f.Age < sum.Age) {
			sum.AsOf, sum.Age = f.AsOf, f.Age
		}
	}
	sum.Problems, sum.Uncaptured = distinctPods(own.Problems)
	sum.Notices = distinct(own.Notices, func(a, b policy.CaptureProblem) int { return cmp.Or(byPod(a, b), cmp.Compare(a.Reason, b.Reason)) })
	return sum
}

// distinctPods sorts problems by pod, leaves one for each, and counts them.
func distinctPods(problems []policy.CaptureProblem) ([]policy.CaptureProblem, int) {
	problems = distinct(problems, byPod)
	return problems, len(problems)
}

func byPod(a, b policy.CaptureProblem) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
}

// distinct sorts problems and leaves one of those that are equal.
func distinct(problems []policy.CaptureProblem, order func(a, b policy.CaptureProblem) int) []policy.CaptureProblem {
	slices.SortStableFunc(problems, order)
	return slices.CompactFunc(problems, func(a, b policy.CaptureProblem) bool { return order(a, b) == 0 })
}

const (
	// leastCovered is how much time reports must cover for their figures to be shown: a rate over the first moment would be a guess,
	// and would stand until the next write.
	leastCovered = 4 * time.Second
	// silence is after how much time without a report of any agent that has the policy its figures go: they say what happened within a
	// window, and that is over.
	silence = distribute.Window
)

// silent reports whether no agent has reported on the policy for so long that nothing is known of its traffic.
func (a *reported) silent() bool {
	if a.figures.AsOf.IsZero() {
		return a.waited >= silence
	}
	return a.figures.Age >= silence
}

// trafficOf returns the figures as status shows them, given those it shows now; nil without any.
func trafficOf(v *view, agents *reported, base *v1alpha1.TrafficStatus) *v1alpha1.TrafficStatus {
	f := &agents.figures
	switch {
	case len(v.reports) == 0 || agents.silent():
		return nil
	case f.AsOf.IsZero() || f.Covered > 0 && f.Covered < leastCovered:
		return base // agents have yet to come back, or the first calls were reported only just now
	}
	c := &f.Counts
	asOf := metav1.NewTime(f.AsOf.UTC().Truncate(time.Second))
	t := &v1alpha1.TrafficStatus{
		Window:           v1alpha1.Duration(fmt.Sprintf("%dm", distribute.Window/time.Minute)),
		AsOf:             &asOf,
		Requests:         shown(c.Requests),
		Abandoned:        shown(c.Abandoned),
		Truncated:        shown(c.Truncated),
		Retries:          shown(c.Retries),
		RetrySuccesses:   shown(c.RetrySuccesses),
		NotRetried:       notRetriedOf(c),
		Timeouts:         shown(c.Timeouts),
		RateLimited:      shown(c.RateLimited),
		BreakerRejected:  shown(c.BreakerRejected),
		PoolOverflow:     shown(c.PoolOverflow),
		BreakersOpen:     shown(uint64(f.Breakers.Open)),
		BreakersHalfOpen: shown(uint64(f.Breakers.HalfOpen)),
		Opaque:           opaqueOf(f),
		OlderConnections: shown(uint64(f.OlderConnections)),
		P50:              quantile(&f.Latency, 0.5),
		P99:              quantile(&f.Latency, 0.99),
		RPS:              callsPerSecond(f.PerSecond),
		Breaker:          breakerColumn(v, &f.Breakers),
	}
	if c.Requests > 0 {
		// Rounded down, so that 100 means all.
		share := int32(100 * float64(min(c.Successes, c.Requests)) / float64(c.Requests))
		t.SuccessPercent = &share
		t.Success = percent(c.Successes, c.Requests)
	}
	return t
}

// stateOf returns the worst state of breakers, or "" for those of a policy that has none and is merged with none that matters.
func stateOf(v *view, b *distribute.Breakers) v1alpha1.BreakerState {
	switch {
	case b.Open > 0:
		return v1alpha1.BreakerStateOpen
	case b.HalfOpen > 0:
		return v1alpha1.BreakerStateHalfOpen
	case v.breaker:
		return v1alpha1.BreakerStateClosed
	}
	return ""
}

// noBreaker is the column BREAKER of a policy without one.
const noBreaker = "-"

func breakerColumn(v *view, b *distribute.Breakers) string {
	switch state := stateOf(v, b); state {
	case v1alpha1.BreakerStateOpen:
		return fmt.Sprintf("%s(%d)", state, shown(uint64(b.Open)))
	case v1alpha1.BreakerStateHalfOpen:
		return fmt.Sprintf("%s(%d)", state, shown(uint64(b.HalfOpen)))
	case v1alpha1.BreakerStateClosed:
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

// mostShown bounds what is said to have been counted: a whole status would be refused for one figure that does not fit.
const mostShown = 1e12

func shown(n uint64) int64 { return int64(min(n, mostShown)) }

// quantile shows about how long a share of the answered calls took at most.
func quantile(l *policy.Latency, q float64) string {
	d, bounded := l.Quantile(q)
	switch {
	case d <= 0:
		return ""
	case !bounded:
		return fmt.Sprintf(">%.0fs", math.Floor(d.Seconds()/10)*10)
	}
	return twoDigits(d)
}

// twoDigits shows d with two significant digits, in milliseconds below a second: more would say more than is known.
func twoDigits(d time.Duration) string {
	unit, name := time.Millisecond, "ms"
	if d >= 995*time.Millisecond {
		unit, name = time.Second, "s"
	}
	digits := func(n float64) int { return 1 - int(math.Floor(math.Log10(n)+1e-9)) } // behind the point; may be negative
	n := float64(d) / float64(unit)
	scale := math.Pow10(digits(n))
	n = math.Round(n*scale) / scale
	return strconv.FormatFloat(n, 'f', max(digits(n), 0), 64) + name
}

// callsPerSecond shows calls per second: with a decimal below 100, with two below 1, and 0 only for none.
func callsPerSecond(perSecond float64) string {
	switch perSecond = min(perSecond, mostShown); {
	case perSecond <= 0:
		return "0"
	case perSecond >= 99.95:
		return fmt.Sprintf("%.0f", perSecond)
	case perSecond >= 0.995:
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.2f", max(perSecond, 0.01))
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
