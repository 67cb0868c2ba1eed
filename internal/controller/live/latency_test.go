package live

import (
	"testing"

	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// A latency is liveapi.LongestSeconds or more exactly if it is not measured how long it is.
func TestWhichLatenciesAreNotMeasured(t *testing.T) {
	for i := range policy.LatencyBuckets {
		var l policy.Latency
		l[i] = 1
		_, p99 := quantiles(&l)
		if _, measured := l.Quantile(0.99); measured == (p99 >= liveapi.LongestSeconds) {
			t.Errorf("bucket %d is shown as %v s, and measured is %v", i, p99, measured)
		}
	}
}
