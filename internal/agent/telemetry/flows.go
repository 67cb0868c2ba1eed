package telemetry

import (
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/flows"
	"fairlead.dev/fairlead/internal/policy"
)

// routeRecorder is the recorder of a route, which counts for the inventory too.
type routeRecorder struct {
	*recorder
	line *flows.Line
}

var _ routes.Recorder = (*routeRecorder)(nil)

// ForRoute implements routes.Recorder.
func (r *recorder) ForRoute(c policy.Caller, destination string, byAddress bool) routes.Recorder {
	of := r.ForCaller(c)
	counts, ok := of.(*recorder)
	if r.flows == nil || !ok {
		return of
	}
	return &routeRecorder{counts, r.flows.Line(flows.Route{
		Caller: c, Policy: r.key.policy, Target: r.key.target, Destination: destination, ByAddress: byAddress,
	})}
}

// CallDone implements routes.Recorder.
func (r *routeRecorder) CallDone(e *routes.Exchange) {
	r.recorder.CallDone(e)
	r.line.Count(e)
}

// WantFlows says whether the manager takes an inventory.
func (m *Meter) WantFlows(wanted bool) {
	if m.flows != nil {
		m.flows.Want(wanted)
	}
}
