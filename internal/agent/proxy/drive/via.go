package drive

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/connectproxy"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// maxProxyWait is how long an attempt waits for the addresses of the proxy that it needs.
const maxProxyWait = 5 * time.Second

// FindProxy sees to it that an address of the proxy of a route is known, and reports whether one is. It is for drivers that serve others
// meanwhile, and waits no longer than maxNameWait, which it does only when nothing is known that still holds.
func FindProxy(r *routes.Route, now, until time.Time) bool {
	ctx, cancel := context.WithDeadline(context.Background(), Earlier(until, now.Add(maxNameWait)))
	defer cancel()
	r.FindAddresses(ctx)
	return r.KnowsProxy()
}

// findProxy sees to it that an address of the proxy is known, and reports whether one is.
func (x *Exchange) findProxy(a call.Action) bool {
	ctx, cancel := context.WithDeadline(context.Background(), Earlier(a.Until, x.Now.Add(maxProxyWait)))
	defer cancel()
	watch := WatchClient(x.Client.Left, cancel)
	x.Route.FindAddresses(ctx)
	watch.Stop()
	x.Now = time.Now()
	return x.Route.KnowsProxy()
}

// noProxy ends an attempt for which no address of the proxy was found.
func (x *Exchange) noProxy(a call.Action) call.Action {
	if x.Client.Left() {
		return x.clientLeft()
	}
	x.PlacedAt = x.Now
	x.Call.Placed(x.Now, a.Attempt, netip.AddrPort{})
	x.last = routes.Attempt{Kind: call.ConnectFailed, Start: a.Start, Detail: routes.DetailProxyUnknown}
	x.reportLast()
	return x.dialFailed(a.Attempt, call.ConnectFailed)
}

// detailOfProxy says what a proxy did.
func detailOfProxy(err error, otherwise routes.Detail) routes.Detail {
	var refused *connectproxy.Refused
	switch {
	case errors.Is(err, connectproxy.ErrHost):
		return routes.DetailProxyRefused
	case errors.Is(err, connectproxy.ErrMalformed):
		return routes.DetailProxyMalformed
	case !errors.As(err, &refused):
		return otherwise
	case refused.Unauthorized():
		return routes.DetailProxyUnauthorized
	case refused.Unreachable():
		return routes.DetailProxyUnreachable
	}
	return routes.DetailProxyRefused
}
