package rollout

import (
	"math"

	"fairlead.dev/fairlead/api/v1alpha1"
)

const (
	// leastCalls is how many calls must have ended on either side for their shares of success to be compared.
	leastCalls = 50
	// certain and likely are how many standard errors the difference must exceed the bound by: during the observation, when it is looked at
	// again and again, and at its end, when it is looked at once.
	certain, likely = 3, 1.64
	// defaultDrop is abortOn.successRateDropPercent where that is absent.
	defaultDrop = 2
)

// reference returns the calls that those of the changed nodes are compared with: those of the other nodes at the same time, or, where there
// are too few, those before the change.
func reference(s *v1alpha1.RolloutStatus) (v1alpha1.RolloutCalls, bool) {
	for _, c := range []v1alpha1.RolloutCalls{s.Others, s.Before} {
		if c.Calls >= leastCalls {
			return c, true
		}
	}
	return v1alpha1.RolloutCalls{}, false
}

// enough reports whether there are enough calls to compare.
func enough(s *v1alpha1.RolloutStatus) bool {
	_, ok := reference(s)
	return ok && s.Changed.Calls >= leastCalls
}

// worse reports whether the share of successful calls has dropped by more than so many percent points, at so many standard errors. The interval
// is that of Agresti and Caffo (2000), which holds for shares near 1 and few calls as well.
func worse(s *v1alpha1.RolloutStatus, drop int32, errors float64) bool {
	if !enough(s) {
		return false
	}
	than, _ := reference(s)
	a, va := adjusted(than)
	b, vb := adjusted(s.Changed)
	return a-b-errors*math.Sqrt(va+vb) > float64(drop)/100
}

// adjusted returns the share of successful calls with one success and one failure added, and its variance.
func adjusted(c v1alpha1.RolloutCalls) (share, variance float64) {
	n := float64(c.Calls) + 2
	share = (float64(c.Successes) + 1) / n
	return share, share * (1 - share) / n
}

// dropOf returns by how many percent points the share may fall.
func dropOf(spec *v1alpha1.Rollout) int32 {
	if a := spec.AbortOn; a != nil && a.SuccessRateDropPercent != nil {
		return *a.SuccessRateDropPercent
	}
	return defaultDrop
}
