package telemetry

import (
	"math/bits"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// bounds are the exclusive upper bounds of the buckets of policy.Latency; starts is the first bucket that a duration of a given
// binary length can fall into. Both are never changed.
var bounds, starts = latencyTables()

func latencyTables() (b [policy.LatencyBuckets - 1]int64, s [65]uint8) {
	for i := range b {
		b[i] = int64(policy.LatencyBound(i))
	}
	for n := 1; n < len(s); n++ {
		least := int64(1) << (n - 1)
		for int(s[n]) < len(b) && b[s[n]] <= least {
			s[n]++
		}
	}
	return b, s
}

// bucket is policy.LatencyBucket without the logarithm.
func bucket(d time.Duration) int {
	if d < 0 {
		return 0
	}
	i := int(starts[bits.Len64(uint64(d))])
	for i < len(bounds) && int64(d) >= bounds[i] {
		i++
	}
	return i
}

// exposedEvery says which buckets metrics show: every fourth bound, about 2.4 times the one before.
const exposedEvery = 4

// exposed folds the buckets into a cumulative histogram for metrics.
func exposed(l *policy.Latency) (count uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, policy.LatencyBuckets/exposedEvery)
	for i, n := range l {
		count += n
		if i%exposedEvery == exposedEvery-1 && i < len(bounds) {
			buckets[time.Duration(bounds[i]).Seconds()] = count
		}
	}
	return count, buckets
}
