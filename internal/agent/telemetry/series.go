package telemetry

import (
	"maps"
	"slices"
)

const (
	// DefaultMaxSeries is how many series policies have in metrics together by default.
	DefaultMaxSeries = 100_000
	// seriesPerTarget is how many one of a policy's targets may have.
	seriesPerTarget = 240
	// overflowLabel stands for the policies and targets that are shown together, and for the callers. No target has such a name.
	overflowLabel = "overflow"
)

// series bounds how many targets of policies, and callers of them, metrics show one by one. The others are counted as ever, but shown together.
type series struct {
	limit, shown int    // targets and callers
	last         uint64 // recorder's number
	used         bool   // there has been an overflow
	// kept is what the overflow has shown of targets that are no longer part of it: what counters show never falls.
	kept   counts
	opened openings
}

// take makes room for one more recorder, if there is any.
func (s *series) take() bool {
	if s.shown >= s.limit {
		return false
	}
	s.shown++
	return true
}

// add makes room for a new target, or has it shown among the overflow.
func (s *series) add(r *recorder) {
	s.last++
	r.number, r.folded = s.last, !s.take()
	s.used = s.used || r.folded
}

// remove gives the room of a target that is not among the others any more, and that of its callers, to others.
func (s *series) remove(r *recorder, others map[recorderKey]*recorder) {
	if r.folded {
		s.keep(r)
		return
	}
	s.shown -= 1 + len(r.callers)
	s.fill(others)
}

// fill gives what room there is to the targets that have waited for it longest.
func (s *series) fill(targets map[recorderKey]*recorder) {
	for s.shown < s.limit {
		var next *recorder
		for _, r := range targets {
			if r.folded && (next == nil || r.number < next.number) {
				next = r
			}
		}
		if next == nil {
			return
		}
		s.keep(next)
		next.folded = !s.take()
	}
}

func (s *series) keep(r *recorder) {
	r.addTo(&s.kept)
	s.opened.plus(&r.opened)
}

// overflow is what is shown together.
type overflow struct {
	any     bool
	targets int
	counts  counts
	gauges  gauges
}

// divide returns the recorders that are shown one by one, those of callers behind their target's, and what is shown together. It takes that from
// current.
func (m *Meter) divide(current map[recorderKey]*gauges) (shown []*recorder, rest overflow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest.any, rest.counts, rest.gauges.opened = m.series.used, m.series.kept, m.series.opened
	for k, r := range m.recorders {
		if !r.folded {
			shown = slices.AppendSeq(append(shown, r), maps.Values(r.callers))
			continue
		}
		rest.targets++
		r.addTo(&rest.counts)
		rest.gauges.opened.plus(&r.opened)
		if g := current[k]; g != nil {
			rest.gauges.add(g)
			delete(current, k)
		}
	}
	return shown, rest
}
