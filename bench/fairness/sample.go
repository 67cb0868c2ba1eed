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
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

func (s samples) failed() (n int) {
	for _, one := range s {
		n += one.failed
	}
	return n
}

const heading = "%-40s %22s %22s %7s %7s %9s\n"

// comparison is what a flood costs.
type comparison struct {
	name          string
	alone, beside samples
}

// mostRatio is what the 99th percentile beside a flood may be of that without it.
const mostRatio = 1.5

func (c comparison) ratio() float64 {
	return float64(c.beside.quantile(0.99)) / float64(c.alone.quantile(0.99))
}

func (c comparison) failed() int { return c.alone.failed() + c.beside.failed() }

// missed says how the goal is missed; nil: it is not.
func (c comparison) missed() error {
	if c.failed() > 0 {
		return fmt.Errorf("%s: %d calls of the quiet pod failed", c.name, c.failed())
	}
	if r := c.ratio(); !(r <= mostRatio) { // also where nothing was measured
		return fmt.Errorf("%s: the 99th percentile is %.2f times that of the quiet pod alone, %.1f at most is the goal", c.name, r, mostRatio)
	}
	return nil
}

func (c comparison) print(rate float64) {
	both := func(s samples) string {
		return fmt.Sprintf("%d/%d", s.quantile(0.5).Microseconds(), s.quantile(0.99).Microseconds())
	}
	fmt.Printf(heading, c.name, both(c.alone), both(c.beside), fmt.Sprintf("%.2f", c.ratio()), fmt.Sprint(c.failed()), fmt.Sprintf("%.0f", rate))
}
