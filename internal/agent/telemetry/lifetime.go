package telemetry

import "time"

// lifetimes are the inclusive upper bounds of the buckets for how long tunnels last: some carry one question, others are meant to stay for days.
var lifetimes = [...]time.Duration{
	time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// lifetime is the bucket of a tunnel that has lasted so long.
func lifetime(d time.Duration) int {
	i := 0
	for i < len(lifetimes) && d > lifetimes[i] {
		i++
	}
	return i
}

// cumulative are the buckets as metrics show them.
func cumulative(tunnels *[len(lifetimes) + 1]uint64) (count uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(lifetimes))
	for i, n := range tunnels {
		count += n
		if i < len(lifetimes) {
			buckets[lifetimes[i].Seconds()] = count
		}
	}
	return count, buckets
}
