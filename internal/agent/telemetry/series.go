package telemetry

const (
	// DefaultMaxSeries is how many series policies have in metrics together by default.
	DefaultMaxSeries = 100_000
	// seriesPerTarget is how many one of a policy's targets may have.
	seriesPerTarget = 213
	// overflowLabel stands for the policies and targets that are shown together. No target has such a name.
	overflowLabel = "overflow"
)

// series bounds how many targets of policies metrics show one by one. The others are counted as ever, but shown together.
type series struct {
	limit, shown int    // targets
	last         uint64 // recorder's number
	used         bool   // there has been an overflow
	// kept is what the overflow has shown of targets that are no longer part of it: what counters show never falls.
	kept   counts
	opened uint64
}

// add makes room for a new recorder, or has it shown among the overflow.
func (s *series) add(r *recorder) {
	s.last++
	r.number = s.last
	if r.folded = s.shown >= s.limit; r.folded {
		s.used = true
		return
	}
	s.shown++
}

// remove gives the room of a recorder that is not among the others any more to the one of these that has waited longest.
func (s *series) remove(r *recorder, others map[recorderKey]*recorder) {
	if r.folded {
		s.keep(r)
		return
	}
	var next *recorder
	for _, o := range others {
		if o.folded && (next == nil || o.number < next.number) {
			next = o
		}
	}
	if next == nil {
		s.shown--
		return
	}
	s.keep(next)
	next.folded = false
}

func (s *series) keep(r *recorder) {
	r.addTo(&s.kept)
	s.opened += r.opened
}

// overflow is what is shown together.
type overflow struct {
	any     bool
	targets int
	counts  counts
	gauges  gauges
}

// divide returns the recorders that are shown one by one, and what is shown together. It takes that from current.
func (m *Meter) divide(current map[recorderKey]*gauges) (shown []*recorder, rest overflow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest.any, rest.counts, rest.gauges.opened = m.series.used, m.series.kept, m.series.opened
	for k, r := range m.recorders {
		if !r.folded {
			shown = append(shown, r)
			continue
		}
		rest.targets++
		r.addTo(&rest.counts)
		rest.gauges.opened += r.opened
		if g := current[k]; g != nil {
			rest.gauges.add(g)
			delete(current, k)
		}
	}
	return shown, rest
}
