package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// ofFaults returns when faults end, by the clock of now, which nobody sets; wall is the node's. Zero: the end is not believed, because no policy says one
// that is so far ahead.
func (e ends) ofFaults(f *policy.Faults, wall, now time.Time) time.Time {
	left := f.End().Sub(wall)
	if left > policy.MaxFaultsAhead {
		return time.Time{}
	}
	return e.at(f.Until, left, now)
}

// inject has the binding's settings inject the faults that its source has.
func (b *Binding) inject(now time.Time, e ends) {
	for i := range len(b.rules) + 1 {
		s := b.at(i)
		f := s.values.Faults
		if f == nil {
			continue
		}
		at := e.ofFaults(f, now.Round(0), now)
		if !now.Before(at) {
			continue
		}
		s.faults = &call.Faults{Faults: f, Ends: at}
		s.opaqueFaults = s.faults
		if f.Abort == policy.FaultResponse { // there is nothing that could be answered
			held := *f
			held.Abort = policy.NoFaultAbort
			s.opaqueFaults = &call.Faults{Faults: &held, Ends: at}
		}
	}
}

// faultsOf are what calls under settings meet, or connections that are passed through; nil: nothing.
func (s *settings) faultsOf(opaque bool) *call.Faults {
	if opaque {
		return s.opaqueFaults
	}
	return s.faults
}
