package rollout

import (
	"fmt"
	"math"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// comparison says how the calls compare, if there are enough of them.
func comparison(s *v1alpha1.RolloutStatus) string {
	where := "on the other nodes"
	if s.Others.Calls < leastCalls {
		where = "in the minute before"
	}
	than, _ := reference(s)
	return fmt.Sprintf("%s of %d calls were successful where it was in force, and %s of %d %s.",
		share(s.Changed), s.Changed.Calls, share(than), than.Calls, where)
}

// tooFew says why there is nothing to compare.
func tooFew(s *v1alpha1.RolloutStatus) string {
	if s.Changed.Calls < leastCalls {
		return fmt.Sprintf("It could not be judged: only %d calls ended where it was in force, and it takes %d.", s.Changed.Calls, leastCalls)
	}
	return fmt.Sprintf("It could not be judged: %s of %d calls were successful, and there were fewer than %d others to compare them with.",
		share(s.Changed), s.Changed.Calls, leastCalls)
}

// share shows a share with two decimals, rounded down, and 100% only for all.
func share(c v1alpha1.RolloutCalls) string {
	if c.Successes >= c.Calls {
		return "100%"
	}
	return fmt.Sprintf("%.2f%%", math.Floor(float64(c.Successes)/float64(c.Calls)*10000)/100)
}
