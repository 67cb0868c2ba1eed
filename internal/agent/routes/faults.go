package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// faultEnds remembers when faults end by the clock that nobody sets, by when they end by the node's: whatever becomes of that, nothing that has ended
// begins again, and nothing is prolonged. It is guarded by Table.installing.
type faultEnds map[int64]time.Time

// keepEnds is how long an end is remembered: longer than it could be written for.
const keepEnds = 2 * policy.MaxFaults

// of returns when faults end, by the clock of now, which nobody sets; wall is the node's. Zero: the end is not believed, because no policy says one that
// is so far ahead.
func (e faultEnds) of(f *policy.Faults, wall, now time.Time) time.Time {
	left := f.End().Sub(wall)
	if left > policy.MaxFaultsAhead {
		return time.Time{}
	}
	ends := now.Add(left)
	if known, ok := e[f.Until]; ok && known.Before(ends) {
		ends = known
	}
	for until, at := range e {
		if now.Sub(at) > keepEnds {
			delete(e, until)
		}
	}
	e[f.Until] = ends
	return ends
}

// inject has the binding's settings inject the faults that its source has.
func (b *Binding) inject(now time.Time, ends faultEnds) {
	for i := range len(b.rules) + 1 {
		s := b.at(i)
		f := s.values.Faults
		if f == nil {
			continue
		}
		at := ends.of(f, now.Round(0), now)
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
