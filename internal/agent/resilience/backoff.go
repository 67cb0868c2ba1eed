package resilience

import (
	"math"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// maxDelay keeps sums of a delay and a time from overflowing; no policy allows waits that long.
const maxDelay = time.Duration(math.MaxInt64 / 4)

// Delay returns how long to wait before retry n (0 is the first), drawn with random, a value in [0, 1) (rule 15).
// previous is the delay drawn before it in the same call, 0 if there was none; only decorrelated jitter looks at it.
func Delay(b *policy.Backoff, n int, previous time.Duration, random float64) time.Duration {
	if b.Jitter == policy.JitterDecorrelated {
		return decorrelated(b, previous, random)
	}
	d := base(b, n)
	p := d * float64(b.JitterPercent) / 100
	switch b.Jitter {
	case policy.JitterNone:
	case policy.JitterFull:
		d *= random
	case policy.JitterEqual:
		d = d/2 + d/2*random
	case policy.JitterAdditive:
		d += p * random
	case policy.JitterProportional:
		d += p * (2*random - 1)
	case policy.JitterDecorrelated:
	}
	return saturate(d)
}

// base is the delay before jitter: grown by the strategy, bounded by Max.
func base(b *policy.Backoff, n int) float64 {
	d := float64(b.Initial)
	switch b.Strategy {
	case policy.Fixed:
	case policy.Linear:
		d *= float64(n + 1)
	case policy.Exponential:
		d *= math.Pow(max(b.Multiplier, 1), float64(n))
	}
	return bound(b, d)
}

// decorrelated is min(max, uniform(initial, 3·previous)), the first time uniform over [initial, 3·initial].
func decorrelated(b *policy.Backoff, previous time.Duration, random float64) time.Duration {
	low := float64(b.Initial)
	high := max(3*float64(max(previous, b.Initial)), low)
	return saturate(bound(b, low+(high-low)*random))
}

func bound(b *policy.Backoff, d float64) float64 {
	if b.Max > 0 {
		return min(d, float64(b.Max))
	}
	return d
}

func saturate(d float64) time.Duration {
	if !(d < float64(maxDelay)) { // also true of NaN
		return maxDelay
	}
	return max(time.Duration(d), 0)
}
