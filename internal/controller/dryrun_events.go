package controller

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/status"
)

// dryRunPause is how long nothing is recorded of calls that a dry run would have treated differently after that was recorded.
const dryRunPause = 10 * time.Minute

// dryRunWatch notices what a dry run would do, between two observations.
type dryRunWatch struct {
	seeded  bool
	open    bool // breakers would be
	differs bool
	said    time.Time // when eventDryRunDiffers was recorded last; zero: never
}

// observe records what changed. At first the status says how it was.
func (w *dryRunWatch) observe(r events.EventRecorder, obj client.Object, base *v1alpha1.PolicyStatus, f *distribute.Figures, now time.Time) {
	if t := base.Traffic; !w.seeded && t != nil && t.DryRun != nil {
		w.open, w.differs = t.DryRun.BreakersOpen > 0, t.DryRun.Calls > 0
	}
	w.seeded = true
	if f.AsOf.IsZero() {
		return // agents have not come back yet
	}
	c := &f.Counts.DryRun
	wasOpen, differed := w.open, w.differs
	w.open, w.differs = f.DryBreakersOpen > 0, c.Differing() > 0
	if w.open && !wasOpen {
		r.Eventf(obj, nil, corev1.EventTypeNormal, eventDryRunBreakerOpened, actionObserve, "%s", "A circuit breaker would have opened, were the policy enforced.")
	}
	if w.differs && !differed && (w.said.IsZero() || now.Sub(w.said) >= dryRunPause) {
		w.said = now
		r.Eventf(obj, nil, corev1.EventTypeNormal, eventDryRunDiffers, actionObserve, "%s", status.Bound(status.DescribeDryRun(c), maxNote))
	}
}
