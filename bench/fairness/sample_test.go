package main

import (
	"testing"
	"time"
)

// The goal is missed where a flood costs more than half of the 99th percentile more, or a call, or where nothing was measured.
func TestWhenTheGoalIsMissed(t *testing.T) {
	rounds := func(p99 ...time.Duration) (s samples) {
		for _, d := range p99 {
			s = append(s, sample{took: []time.Duration{d}})
		}
		return s
	}
	failing := rounds(100, 100, 100)
	failing[1].failed = 1
	for name, tc := range map[string]struct {
		alone, beside samples
		missed        bool
	}{
		"as fast":                          {rounds(100, 100, 100), rounds(100, 100, 100), false},
		"half more":                        {rounds(100, 100, 100), rounds(150, 150, 150), false},
		"more than that":                   {rounds(100, 100, 100), rounds(151, 151, 151), true},
		"in one round that is not all":     {rounds(100, 100, 100), rounds(90, 110, 900), false},
		"a call failed beside it":          {rounds(100, 100, 100), failing, true},
		"a call failed alone":              {failing, rounds(100, 100, 100), true},
		"nothing was measured":             {samples{{}}, samples{{}}, true},
		"no round was played":              {nil, nil, true},
		"nothing was measured without one": {samples{{}}, rounds(100), true},
	} {
		if err := (comparison{name, tc.alone, tc.beside}).missed(); (err != nil) != tc.missed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
