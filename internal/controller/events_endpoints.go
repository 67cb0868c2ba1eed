package controller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/status"
)

// endpointWatch notices that endpoints of a policy's destinations are kept out, and that none is any more. How many come and go meanwhile is for
// figures to say.
type endpointWatch struct {
	seeded  bool
	ejected bool // at the last observation
}

// observe records what changed. At first the status says how it was.
func (w *endpointWatch) observe(r events.EventRecorder, obj client.Object, base *v1alpha1.PolicyStatus, f *distribute.Figures) {
	if !w.seeded {
		for i := range base.Destinations {
			w.ejected = w.ejected || base.Destinations[i].Ejected != nil && *base.Destinations[i].Ejected > 0
		}
	}
	w.seeded = true
	if f.AsOf.IsZero() {
		return // agents have not come back yet
	}
	was, is := w.ejected, f.Ejected > 0
	w.ejected = is
	switch {
	case is && !was:
		r.Eventf(obj, nil, corev1.EventTypeWarning, eventEndpointsEjected, actionObserve, "%s", "Endpoints are left out because they fail, of "+targetsWithout(f)+".")
	case was && !is:
		r.Eventf(obj, nil, corev1.EventTypeNormal, eventEndpointsReturned, actionObserve, "%s", "No endpoint is left out any more.")
	}
}

// targetsWithout names the destinations of which endpoints are left out.
func targetsWithout(f *distribute.Figures) string {
	var names []string
	for _, t := range f.Targets {
		if t.Ejected > 0 {
			names = append(names, t.Target)
		}
	}
	return status.NameSome(names, len(names))
}
