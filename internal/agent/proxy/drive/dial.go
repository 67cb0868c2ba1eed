package drive

import (
	"context"
	"errors"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Dialling is the making of a connection for a request that a pool has granted.
type Dialling struct {
	Request *upstream.Request
	Pool    *upstream.Pool
	Route   *routes.Route // nil: no policy governs the call
	Plan    *routes.Plan
	// Client is whose call it is for.
	Client *Client
	// Secured: there is a handshake.
	Secured bool
	// ConnectTimeout bounds connecting where the policy does not; zero: nothing does.
	ConnectTimeout time.Duration
	Now            time.Time
	// Until is the deadline of the attempt; zero: it has none.
	Until time.Time
}

// Context returns the context to dial in, and sets the limits of the stages.
func (d *Dialling) Context() (context.Context, context.CancelFunc) {
	end, late := d.limits()
	if end.IsZero() {
		return context.WithCancel(context.Background())
	}
	return context.WithDeadlineCause(context.Background(), end, late)
}

// limits returns when the dial ends (zero: never) and what it ends with then, and sets the limits of the stages.
func (d *Dialling) limits() (end time.Time, late error) {
	end, late = d.Until, context.DeadlineExceeded
	limit := d.Plan.Settings.Timeouts.Connect
	if limit <= 0 {
		limit = d.ConnectTimeout
	}
	d.Request.ConnectTimeout, d.Request.HandshakeTimeout = 0, 0
	if d.Secured { // the limits are those of stages
		d.Request.ConnectTimeout, d.Request.HandshakeTimeout = limit, d.Plan.Settings.Timeouts.TLSHandshake
	} else if connected := d.Now.Add(limit); limit > 0 && (end.IsZero() || connected.Before(end)) {
		end, late = connected, upstream.ErrConnectTimeout
	}
	return end, late
}

// Dial makes the connection. Another address of its name may be faster, if the policy lets the call go there.
func (d *Dialling) Dial(ctx context.Context) (upstream.Lease, error) {
	d.Request.Turn = d.Client.Share.Turn
	return dial(ctx, d.Pool, d.Request, d.Route, d.Plan.Settings.Retry.AvoidPreviousEndpoints)
}

// dial makes the connection of a request, to another address of its name if it may avoid its own and the other one is faster.
func dial(ctx context.Context, pool *upstream.Pool, q *upstream.Request, r *routes.Route, avoid bool) (upstream.Lease, error) {
	if avoid && q.Pinned && r.HasName() {
		return pool.DialNamed(ctx, q, r.FindAddresses)
	}
	return pool.Dial(ctx, q)
}

// dial makes a new connection for an attempt that was placed. Without one, next says what follows.
func (x *Exchange) dial(a call.Action, until time.Time) (l upstream.Lease, next call.Action) {
	d := Dialling{
		Request: &x.slot, Pool: x.AttemptRoute().Pool, Route: x.AttemptRoute(), Plan: x.Plan, Secured: x.AttemptRoute().Secured() && !x.Unsecured,
		Client: x.Client, ConnectTimeout: x.ConnectTimeout, Now: x.Now, Until: until,
	}
	end, late := d.limits()
	there := NewWhileThere(x.Client, end, late)
	l, err := d.dial(there)
	there.Stop()
	x.Now = time.Now()
	HoldPermit(&x.Call, a.Attempt, d.Pool, d.Request)
	if err == nil {
		x.Call.Reached(a.Attempt, l.Peer())
		ObserveConnected(&x.Call, x.Now, a.Attempt, d.Request, Made{l, x.Now.Sub(d.Now)})
		return l, call.Action{}
	}
	there.Raise()
	if there.Left() {
		return upstream.Lease{}, x.clientLeft()
	}
	u := Unmade{Action: a, Err: err, Until: until, Peer: x.slot.Host().Addr(), Took: x.Now.Sub(d.Now)}
	return upstream.Lease{}, x.NotMade(x.Now, x.AttemptRoute().Recorder(), &x.Call, u)
}

// dial is Dial, on another goroutine's stack where there is a handshake: that needs a large one, which would stay with the idle connection of
// the client.
func (d *Dialling) dial(ctx context.Context) (upstream.Lease, error) {
	if !d.Secured {
		return d.Dial(ctx)
	}
	return dialAside(ctx, *d)
}

// dialAside is a function of its own because what its closure captures is allocated.
func dialAside(ctx context.Context, d Dialling) (l upstream.Lease, err error) {
	panics.Aside(func() { l, err = d.Dial(ctx) })
	return l, err
}

// FailureOf says what a dial's error means.
func FailureOf(err error) (call.Kind, routes.Detail) {
	var proxy *upstream.ProxyError
	kind, why := upstream.FailureOf(err), DetailOf(err)
	switch {
	case kind == call.Internal:
		why = routes.DetailLocal
	case kind == call.ProxyRefused || errors.As(err, &proxy):
		why = detailOfProxy(err, why)
	case errors.Is(err, transport.ErrHandshakeTimeout):
		why = routes.DetailTLSHandshake
	case kind == call.ConnectTimeout && why != routes.DetailNoAnswer:
		why = routes.DetailConnect
	}
	return kind, why
}
