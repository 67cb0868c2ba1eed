package policy

import (
	"testing"
	"time"
)

func TestOpenPeriodsDoubleUpToTheLongest(t *testing.T) {
	for name, tc := range map[string]struct {
		first, longest time.Duration
		want           []time.Duration
	}{
		"doubled":              {time.Second, 5 * time.Second, []time.Duration{1, 2, 4, 5, 5}},
		"never longer":         {3 * time.Second, 3 * time.Second, []time.Duration{3, 3}},
		"a longest below that": {3 * time.Second, time.Second, []time.Duration{3, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &Breaker{OpenDuration: tc.first, OpenMaxDuration: tc.longest}
			var last time.Duration
			for i, want := range tc.want {
				if last = b.NextOpen(last); last != want*time.Second {
					t.Errorf("open period %d lasts %v, want %v", i, last, want*time.Second)
				}
			}
		})
	}
}

func TestJitterIsAroundTheOpenPeriod(t *testing.T) {
	b := &Breaker{OpenJitterPercent: 20}
	for chance, want := range map[float64]time.Duration{0: 8 * time.Second, 0.5: 10 * time.Second, 1: 12 * time.Second} {
		if got := b.JitterOpen(10*time.Second, chance); got != want {
			t.Errorf("with chance %v: %v, want %v", chance, got, want)
		}
	}
}
