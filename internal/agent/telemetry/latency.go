package telemetry

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// classic are the upper bounds of the buckets that metrics show to those who read classic histograms: the usual ones, and some below.
var classic = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

const (
	// nativeSchema says that the buckets of native histograms grow by 2^(1/4) from one to the next; of them there are those from nativeFirst to
	// nativeLast, of which the first counts all that is shorter (61 µs) and another one behind the last what is longer (64 s).
	nativeSchema            = 2
	nativePerOctave         = 1 << nativeSchema
	nativeFirst, nativeLast = -14 * nativePerOctave, 6 * nativePerOctave
	// buckets is how many there are to count in: those of reports, of classic and of native histograms have bounds in common with some of them.
	buckets = 159
)

// edges are the inclusive upper bounds of the buckets in nanoseconds, but of the last; starts is the first bucket that a duration of a given
// binary length can fall into. Neither is ever changed.
var edges, starts = edgeTables()

// inReports, inClassic and inNative say which bucket of each histogram a bucket is a part of.
var inReports, inClassic, inNative = placeTables()

func edgeTables() (e [buckets - 1]int64, s [65]uint8) {
	var all []int64
	for i := range policy.LatencyBuckets - 1 {
		all = append(all, int64(policy.LatencyBound(i))-1)
	}
	for _, bound := range classic {
		all = append(all, int64(bound))
	}
	for k := nativeFirst; k <= nativeLast; k++ {
		all = append(all, nativeBound(k))
	}
	slices.Sort(all)
	copy(e[:], slices.Compact(all)) // a test holds that they are as many
	for n := 1; n < len(s); n++ {
		least := int64(1) << (n - 1)
		for int(s[n]) < len(e) && e[s[n]] < least {
			s[n]++
		}
	}
	return e, s
}

// nativeBound is the inclusive upper bound of a bucket of native histograms in nanoseconds.
func nativeBound(k int) int64 {
	return int64(math.Exp2(float64(k)/nativePerOctave) * float64(time.Second))
}

func placeTables() (reports, classics, natives [buckets]uint8) {
	for i := range buckets {
		edge := int64(math.MaxInt64)
		if i < len(edges) {
			edge = edges[i]
		}
		reports[i] = uint8(first(policy.LatencyBuckets-1, func(b int) bool { return edge < int64(policy.LatencyBound(b)) }))
		classics[i] = uint8(first(len(classic), func(b int) bool { return edge <= int64(classic[b]) }))
		natives[i] = uint8(first(nativeLast-nativeFirst+1, func(b int) bool { return edge <= nativeBound(nativeFirst+b) }))
	}
	return reports, classics, natives
}

// first is the first of n numbers for which is holds, n if there is none.
func first(n int, is func(int) bool) int {
	i := 0
	for i < n && !is(i) {
		i++
	}
	return i
}

// bucket is where a duration is counted.
func bucket(d time.Duration) int {
	if d < 0 {
		return 0
	}
	i := int(starts[bits.Len64(uint64(d))])
	for i < len(edges) && int64(d) > edges[i] {
		i++
	}
	return i
}

// latency counts durations.
type latency [buckets]uint64

// report is what has been counted since before, in the form of a report.
func (l *latency) report(before *latency) (r policy.Latency) {
	for i, n := range l {
		r[inReports[i]] += n - before[i]
	}
	return r
}

// cumulative are the buckets of a classic histogram.
func (l *latency) cumulative() (count uint64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(classic))
	var each [len(classic) + 1]uint64
	for i, n := range l {
		each[inClassic[i]] += n
	}
	for b, bound := range classic {
		count += each[b]
		upTo[bound.Seconds()] = count
	}
	return count + each[len(classic)], upTo
}

// native are the buckets of a native histogram: how many were no longer than its first bound, and from which of the others on there are how many.
func (l *latency) native() (zero uint64, from int, each []uint64) {
	var all [nativeLast - nativeFirst + 2]uint64
	for i, n := range l {
		all[inNative[i]] += n
	}
	used := all[1:]
	from = slices.IndexFunc(used, func(n uint64) bool { return n > 0 })
	if from < 0 {
		return all[0], 0, nil
	}
	used = used[from:]
	for used[len(used)-1] == 0 {
		used = used[:len(used)-1]
	}
	return all[0], nativeFirst + 1 + from, slices.Clone(used)
}
