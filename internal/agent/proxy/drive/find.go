package drive

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
)

const (
	// maxProxyWait is how long an attempt waits for the addresses of the proxy that it needs, or of the host that its call falls back on.
	maxProxyWait = 5 * time.Second
	// maxNameWait is how long it waits for addresses that it can do without: other ones of the name that it calls, or those of which much older ones
	// are known.
	maxNameWait = time.Second
)

// Unknown reports whether addresses have to be looked up before an attempt is placed, and how long it waits for them at most: those of the
// proxy of its route or of the host that its call falls back on, or, for an attempt that avoids what was tried, the other ones of the name that it calls. The first attempt never waits
// for the latter. r is nil for calls that no policy governs.
func Unknown(r *routes.Route, c *call.Call, pinned bool, a call.Action, now time.Time) (wait time.Duration, unknown bool) {
	if pinned {
		r.RefreshOthers(now, c.EndpointJudge())
	}
	switch {
	case r.ByName():
		if wait = maxProxyWait; r.HasAddress() {
			wait = maxNameWait
		}
		return wait, !r.RefreshName(now)
	case !a.Avoid || a.Start == call.First || !pinned || !r.HasName():
		return 0, false
	}
	return maxNameWait, !r.KnowsAddresses(now)
}

// find sees to it that the addresses are known that an attempt needs. If ok is false there is no attempt, and next says what follows.
func (x *Exchange) find(a call.Action) (next call.Action, ok bool) {
	if wait, unknown := Unknown(x.AttemptRoute(), &x.Call, x.KeepsAddress(), a, x.Now); unknown {
		if next, ok := x.lookUp(a, wait); !ok {
			return next, false
		}
	}
	if r := x.AttemptRoute(); r.ByName() && !r.HasAddress() {
		x.PlacedAt = x.Now
		return x.NoAddress(x.Now, r, &x.Call, a), false
	}
	return call.Action{}, true
}

func (x *Exchange) lookUp(a call.Action, wait time.Duration) (next call.Action, ok bool) {
	ObserveLookup(&x.Call, x.Now, a.Attempt)
	there := NewWhileThere(x.Client, Earlier(a.Until, x.Now.Add(wait)), context.DeadlineExceeded)
	x.AttemptRoute().FindAddresses(there)
	there.Stop()
	there.Raise()
	x.Now = time.Now()
	switch {
	case there.Left():
		return x.clientLeft(), false
	case Passed(a.Until, x.Now):
		x.Detail = DetailOfLimit(x.Call.Limit(a.Attempt))
		return x.Call.Timer(x.Now), false
	}
	return call.Action{}, true
}
