package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// maxForced bounds how long a breaker is kept open or closed by hand, whatever the clocks of the manager and the node say: the manager accepts
// no longer time.
const maxForced = 24 * time.Hour

// force has the binding's breakers kept open or closed as its source says. When that is over is found out once and counted by the monotonic
// clock from then on, so that it ends in time whatever becomes of the node's clock. old is the binding before; nil: there was none.
func (b *Binding) force(now time.Time, old *Binding) {
	f := b.source.ForcedBreaker
	if !f.Set() {
		return
	}
	if old != nil && old.source.ForcedBreaker == f {
		b.forced = old.forced
	} else {
		b.forced = resilience.Forced{Open: f.Open, Until: now.Add(min(f.End().Sub(now.Round(0)), maxForced))}
	}
	if !now.Before(b.forced.Until) {
		return
	}
	b.base.values = withOwnBreaker(b.base.values)
	for i := range b.rules {
		b.rules[i].values = withOwnBreaker(b.rules[i].values)
	}
}

// withOwnBreaker returns s with a breaker that opens by hand alone, if s has none.
func withOwnBreaker(s *policy.Settings) *policy.Settings {
	if s.Breaker != nil {
		return s
	}
	own := *s
	own.Breaker = &policy.Breaker{}
	return &own
}

// forced is what is kept open or closed by hand, as the newest version says.
func (v versions) forced() resilience.Forced { return v[0].forced }
