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
func (b *Binding) force(now time.Time, old *Binding, e ends) {
	f := b.source.ForcedBreaker
	if !f.Set() {
		return
	}
	if old != nil && old.source.ForcedBreaker == f {
		b.forced = old.forced
	} else {
		b.forced = resilience.Forced{Open: f.Open, Until: e.ofForced(f, now.Round(0), now)}
	}
	if !now.Before(b.forced.Until) {
		return
	}
	b.base.values = withOwnBreaker(b.base.values)
	for i := range b.rules {
		b.rules[i].values = withOwnBreaker(b.rules[i].values)
	}
}

// ofForced returns when what is forced ends, by the clock of now, which nobody sets; wall is the node's.
func (e ends) ofForced(f policy.ForcedBreaker, wall, now time.Time) time.Time {
	return e.at(f.Until, min(f.End().Sub(wall), maxForced), now)
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

// ofWhole returns what a breaker of a whole destination goes by where the settings' is cfg; nil: there is none. Where each endpoint has its own, one that
// is to be open by hand stands before these, and counts nothing.
func (v versions) ofWhole(cfg *policy.Breaker) *policy.Breaker {
	switch {
	case cfg == nil || cfg.Scope != policy.ScopeEndpoint:
		return cfg
	case v.forced().Open:
		return &policy.Breaker{Sharing: cfg.Sharing}
	}
	return nil
}

// forcedEndpoints is what the breakers of endpoints are kept at by hand: closed, or nothing.
func (v versions) forcedEndpoints() resilience.Forced {
	if f := v.forced(); !f.Open {
		return f
	}
	return resilience.Forced{}
}

// forced is what is kept open or closed by hand, as the newest version says.
func (v versions) forced() resilience.Forced { return v[0].forced }
