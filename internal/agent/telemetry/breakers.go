package telemetry

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// breakerGauges are how the breakers of one policy's target stand.
type breakerGauges struct {
	open, halfOpen int
	// openAge and halfOpenAge are for how long the first of each has been so.
	openAge, halfOpenAge time.Duration
}

func (g *breakerGauges) add(now time.Time, s resilience.Status) {
	var age time.Duration
	if !s.Since.IsZero() {
		age = max(now.Sub(s.Since), 1) // zero would say that it is not known
	}
	switch s.State {
	case resilience.Open:
		g.open++
		g.openAge = max(g.openAge, age)
	case resilience.HalfOpen:
		g.halfOpen++
		g.halfOpenAge = max(g.halfOpenAge, age)
	case resilience.Closed:
	}
}

// age is for how long the worst state has lasted.
func (g *breakerGauges) age() time.Duration {
	if g.open > 0 {
		return g.openAge
	}
	return g.halfOpenAge
}
