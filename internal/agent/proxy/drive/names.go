package drive

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// maxNameWait is how long a retry waits for other addresses of the name that it calls. Without them it goes to where the first attempt
// went.
const maxNameWait = time.Second

// findAddresses sees to it that an attempt that avoids what was tried knows the other addresses of the name. The first attempt never
// waits for that.
func (x *Exchange) findAddresses(a call.Action) {
	if !x.Pinned || a.Start == call.First || !x.Route.HasName() {
		return
	}
	end := Earlier(a.Until, x.Now.Add(maxNameWait))
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	watch := WatchClient(x.Client.Left, cancel)
	x.Route.FindAddresses(ctx)
	watch.Stop()
	x.Now = time.Now()
}

// FindOthers sees to it that the other addresses of a route's name are known when a connect has failed, which may have taken all the time
// that its context had.
func FindOthers(ctx context.Context, r *routes.Route) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxNameWait)
	defer cancel()
	r.FindAddresses(ctx)
}

// connectNow makes the connection for a request that was granted. Another address of its name may be faster, if the policy lets the call go
// there.
func (x *Exchange) connectNow(ctx context.Context) (upstream.Lease, error) {
	if x.Pinned && x.Route.HasName() && x.Plan.Settings.Retry.AvoidPreviousEndpoints {
		return x.Route.Pool.DialNamed(ctx, &x.slot, x.Route.FindAddresses)
	}
	return x.Route.Pool.Dial(ctx, &x.slot)
}
