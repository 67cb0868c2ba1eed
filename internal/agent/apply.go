package agent

import (
	"context"
	"log/slog"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/policy"
)

// captureTimeout bounds how long an acknowledgement waits for the kernel. A pod that cannot be captured by then is reported as a
// problem of its own and does not hold up the others.
const captureTimeout = 2 * time.Second

// applier puts snapshots into force: first the policies, then the captures that bring calls to them. The other way round calls would
// arrive before there is policy for them.
type applier struct {
	node    string
	routes  *routes.Table
	capture *capture.Manager
	meter   *telemetry.Meter
	log     *slog.Logger
	// detector gets the Services there are.
	detector *socketlb.Detector

	// used only by Apply
	redirects map[string]intent.Redirect // of the last snapshot's profiles, by name
}

var _ subscribe.Applier = (*applier)(nil)

// Apply implements subscribe.Applier. The detector learns of Services first, so that it is known how to treat calls to them when the first comes.
func (a *applier) Apply(next *policy.Snapshot) []subscribe.Rejection {
	a.detector.SetServices(probed(next, policy.Location{Node: a.node, Zone: next.Zone()}))
	var refused []subscribe.Rejection
	for _, r := range a.routes.Install(next) {
		refused = append(refused, subscribe.Rejection{Profile: r.Profile, Reason: subscribe.ReasonInvalid, Message: r.Message})
	}
	if len(refused) > 0 {
		return refused // asked again with the previous version of these
	}
	start := time.Now()
	a.meter.Installed(start, next)
	var specs map[string]capture.PodSpec
	specs, a.redirects = desired(next, a.node, a.redirects)
	a.capture.Reconcile(specs)
	ctx, stop := context.WithTimeout(context.Background(), captureTimeout)
	defer stop()
	if err := a.capture.AwaitReached(ctx); err != nil {
		a.log.Warn("capture is slow to follow the policy", "err", err)
	}
	a.log.Debug("policy in force", "workloads", len(next.Workloads), "profiles", len(next.Profiles), "took", time.Since(start))
	return nil
}
