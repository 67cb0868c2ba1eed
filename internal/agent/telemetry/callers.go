package telemetry

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// Callers are counted apart where Options.Callers says so: what the pods of one workload do under a policy at a target is counted by a recorder of
// their own, made when the first of their routes is resolved. The target's own recorder counts for those for whom there was no room, and is
// shown as one caller, overflow, in no namespace. What reports say is the sum.

// ForCaller implements routes.Recorder.
func (r *recorder) ForCaller(c policy.Caller) routes.Recorder {
	if r.meter == nil || c == (policy.Caller{}) {
		return r
	}
	return r.meter.forCaller(r, c)
}

func (m *Meter) forCaller(r *recorder, c policy.Caller) *recorder {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := r.callers[c]
	if of == nil {
		if m.recorders[r.key] != r || r.folded || !m.series.take() {
			return r
		}
		of = m.newRecorder(r.key)
		of.caller, of.target = c, r
		if r.callers == nil {
			r.callers = map[policy.Caller]*recorder{}
		}
		r.callers[c] = of
	}
	of.orphaned = time.Time{}
	return of
}

// callersOf returns whose calls a snapshot is about, if that matters.
func (m *Meter) callersOf(s *policy.Snapshot) map[policy.Caller]bool {
	if !m.callers {
		return nil
	}
	live := map[policy.Caller]bool{}
	for _, w := range s.Workloads {
		live[w.Caller()] = true
	}
	return live
}

// forgetCallers drops the callers of r that are gone as forget does policies. What they have counted stays among what r has. The caller holds mu.
func (m *Meter) forgetCallers(now time.Time, r *recorder) {
	for c, of := range r.callers {
		if of.orphaned.IsZero() {
			continue
		}
		var counted counts
		of.addOwn(&counted)
		if counted.opaqueOpen() > 0 || !of.over(now, counted.events()) {
			continue // what is open is among what has been opened: the one goes only with the other
		}
		delete(r.callers, c)
		if r.gone == nil {
			r.gone = new(counts)
		}
		r.gone.plus(&counted)
		m.series.shown--
		m.series.fill(m.recorders)
	}
}
