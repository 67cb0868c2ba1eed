package status

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// Sum sums what agents reported of the calls that the policy has a part in: a call that several policies govern counts for each. What
// they say of pods they say of each policy.
func Sum(v *index.View, traffic func(policy.ID) distribute.Figures) distribute.Figures {
	own := traffic(v.ID)
	sum := distribute.Figures{OlderConnections: own.OlderConnections}
	seen := map[policy.ID]struct{}{}
	for key := range v.Reports {
		if _, ok := seen[key.Policy]; ok {
			continue
		}
		seen[key.Policy] = struct{}{}
		f := own
		if key.Policy != v.ID {
			f = traffic(key.Policy)
		}
		for _, t := range f.Targets {
			if _, ok := v.Reports[index.ReportKey{Policy: key.Policy, Target: t.Target}]; ok {
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
