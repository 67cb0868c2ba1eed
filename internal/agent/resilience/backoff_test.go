package resilience

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/quick"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const ms = time.Millisecond

func TestRule15_Growth(t *testing.T) {
	tests := map[string]struct {
		b    policy.Backoff
		want []time.Duration
	}{
		"fixed": {
			policy.Backoff{Strategy: policy.Fixed, Initial: 20 * ms, Max: 100 * ms, Multiplier: 3},
			[]time.Duration{20 * ms, 20 * ms, 20 * ms},
		},
		"linear": {
			policy.Backoff{Strategy: policy.Linear, Initial: 20 * ms, Max: 70 * ms},
			[]time.Duration{20 * ms, 40 * ms, 60 * ms, 70 * ms, 70 * ms},
		},
		"exponential": {
			policy.Backoff{Strategy: policy.Exponential, Initial: 25 * ms, Max: 250 * ms, Multiplier: 2},
			[]time.Duration{25 * ms, 50 * ms, 100 * ms, 200 * ms, 250 * ms, 250 * ms},
		},
		"exponential by 1.5": {
			policy.Backoff{Strategy: policy.Exponential, Initial: 100 * ms, Max: time.Second, Multiplier: 1.5},
			[]time.Duration{100 * ms, 150 * ms, 225 * ms},
		},
		"no growth below 1": {
			policy.Backoff{Strategy: policy.Exponential, Initial: 100 * ms, Max: time.Second, Multiplier: 0.5}, []time.Duration{100 * ms, 100 * ms, 100 * ms},
		},
		"no wait": {policy.Backoff{}, []time.Duration{0, 0}},
	}
	for name, tc := range tests {
		tc.b.Jitter = policy.JitterNone
		for n, want := range tc.want {
			if got := Delay(&tc.b, n, 0, 0.7); got != want {
				t.Errorf("%s: retry %d after %v, want %v", name, n, got, want)
			}
		}
	}
}

// What rule 15 says of each jitter, for random policies and draws: the bounds hold, and the draw reaches both.
func TestRule15_JitterBounds(t *testing.T) {
	bounds := map[policy.Jitter]func(d, p float64) (low, high float64){
		policy.JitterNone:         func(d, _ float64) (float64, float64) { return d, d },
		policy.JitterFull:         func(d, _ float64) (float64, float64) { return 0, d },
		policy.JitterEqual:        func(d, _ float64) (float64, float64) { return d / 2, d },
		policy.JitterAdditive:     func(d, p float64) (float64, float64) { return d, d * (1 + p) },
		policy.JitterProportional: func(d, p float64) (float64, float64) { return d * (1 - p), d * (1 + p) },
	}
	for jitter, of := range bounds {
		check := func(initial, limit uint32, n, percent uint8, random float64) bool {
			b := policy.Backoff{
				Strategy: policy.Strategy(n % 3), Initial: time.Duration(initial) * time.Microsecond,
				Max: time.Duration(limit) * time.Microsecond, Multiplier: 2, Jitter: jitter, JitterPercent: int(percent)%100 + 1,
			}
			none := b
			none.Jitter = policy.JitterNone
			d := Delay(&none, int(n), 0, 0)
			low, high := of(float64(d), float64(b.JitterPercent)/100)
			const rounding = 2
			if got := float64(Delay(&b, int(n), 0, fraction(random))); got < low-rounding || got > high+rounding {
				t.Logf("%+v: %v outside [%v, %v]", b, got, low, high)
				return false
			}
			atLow, atHigh := Delay(&b, int(n), 0, 0), Delay(&b, int(n), 0, math.Nextafter(1, 0))
			return math.Abs(float64(atLow)-low) <= rounding && math.Abs(float64(atHigh)-high) <= rounding && (b.Max == 0 || d <= b.Max)
		}
		if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
			t.Errorf("jitter %d: %v", jitter, err)
		}
	}
}

func TestRule15_DecorrelatedFollowsThePreviousDraw(t *testing.T) {
	b := policy.Backoff{Initial: 10 * ms, Max: 200 * ms, Jitter: policy.JitterDecorrelated}
	random := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		var previous time.Duration
		for n := range 8 {
			d := Delay(&b, n, previous, random.Float64())
			high := min(b.Max, 3*max(previous, b.Initial))
			if d < b.Initial || d > high {
				t.Fatalf("retry %d after %v: %v, want %v..%v", n, previous, d, b.Initial, high)
			}
			previous = d
		}
	}
	if got := Delay(&b, 1, 100*ms, math.Nextafter(1, 0)); got != b.Max {
		t.Errorf("the draw beyond the maximum is %v, want %v", got, b.Max)
	}
}

func TestRule15_DelaysSaturate(t *testing.T) {
	for _, b := range []policy.Backoff{
		{Strategy: policy.Exponential, Initial: time.Hour, Multiplier: 1e300, Jitter: policy.JitterNone},
		{Strategy: policy.Exponential, Initial: math.MaxInt64, Multiplier: 10, Jitter: policy.JitterAdditive, JitterPercent: 100},
		{Strategy: policy.Linear, Initial: math.MaxInt64, Jitter: policy.JitterNone},
		{Jitter: policy.JitterDecorrelated, Initial: math.MaxInt64},
	} {
		if got := Delay(&b, 10, math.MaxInt64, 0.99); got != maxDelay {
			t.Errorf("%+v: %v, want %v", b, got, maxDelay)
		}
	}
}

func TestRule15_FullJitterIsUniform(t *testing.T) {
	b := policy.Backoff{Strategy: policy.Fixed, Initial: time.Second, Max: time.Second, Jitter: policy.JitterFull}
	random := rand.New(rand.NewPCG(8, 9))
	var tenths [10]int
	const draws = 100000
	for range draws {
		tenths[int(Delay(&b, 0, 0, random.Float64())*10/time.Second)]++
	}
	for i, n := range tenths {
		if n < draws/10*95/100 || n > draws/10*105/100 {
			t.Errorf("tenth %d was drawn %d times of %d", i, n, draws)
		}
	}
}

func fraction(f float64) float64 {
	f = math.Abs(f)
	return f - math.Floor(f)
}
