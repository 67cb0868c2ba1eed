package compile

import (
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// rolloutWarnings says if no call is counted that a rollout could be judged by: of connections that are passed through nobody knows how their calls end. That a
// change is never taken back for its calls is said openly by an abortOn.successRateDropPercent of 100.
func rolloutWarnings(src *Source) []string {
	if src.Rollout == nil || len(src.To) == 0 {
		return nil
	}
	if a := src.Rollout.AbortOn; a != nil && a.SuccessRateDropPercent != nil && *a.SuccessRateDropPercent >= 100 {
		return nil
	}
	if slices.ContainsFunc(src.To, func(d v1alpha1.Destination) bool { return passedThrough(&d) == "" }) {
		return nil
	}
	return []string{"rollout cannot judge a change of this policy: the connections to all of its destinations are passed through, and how the calls in them end is not " +
		"seen. A change comes to all nodes when observe is over. Set tls.mode to Originate or Intercept where the calls are HTTPS, or successRateDropPercent to 100 if it is meant."}
}
