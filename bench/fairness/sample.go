package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is what came of one measurement.
type sample struct {
	took   []time.Duration // ascending
	failed int
}

func (s sample) quantile(q float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[min(int(q*float64(len(s.took))), len(s.took)-1)]
}

// samples are those of all rounds.
type samples []sample

// quantile is the median of what the rounds have: a round in which the machine did something else counts no more than another.
func (s samples) quantile(q float64) time.Duration {
	all := make([]time.Duration, 0, len(s))
	for _, one := range s {
		all = append(all, one.quantile(q))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (s samples) failed() (n int) {
	for _, one := range s {
		n += one.failed
	}
	return n
}

const heading = "%-40s %22s %22s %7s %7s %9s\n"

// compare prints what others are of s.
func (s samples) compare(name string, others samples, rate float64) {
	both := func(s samples) string {
		return fmt.Sprintf("%d/%d", s.quantile(0.5).Microseconds(), s.quantile(0.99).Microseconds())
	}
	ratio := float64(others.quantile(0.99)) / float64(s.quantile(0.99))
	fmt.Printf(heading, name, both(s), both(others), fmt.Sprintf("%.2f", ratio), fmt.Sprint(s.failed()+others.failed()), fmt.Sprintf("%.0f", rate))
}
