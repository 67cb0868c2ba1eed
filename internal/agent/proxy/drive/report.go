package drive

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// Record is what is reported of a call: each attempt when it has ended, and at last the call.
type Record struct {
	// Detail says how the last attempt ended, or the call.
	Detail routes.Detail

	last routes.Attempt   // on its way to a recorder: in here, so that nothing is allocated for it
	past []routes.Attempt // those of the call that have ended

	watched *watched   // nil: nobody watches the call
	trace   *traced    // nil: none of its calls has been traced
	parents fieldCount // its own fields of a trace: in here for the same reason
}

// Reset forgets the call.
func (r *Record) Reset() {
	r.past, r.Detail = r.past[:0], routes.NoDetail
	r.watched = nil
	r.endTrace()
}

// Ended passes an attempt that has ended to a recorder, and keeps it for the report of the call.
func (r *Record) Ended(to routes.Recorder, id call.AttemptID, a routes.Attempt) {
	r.last = a
	to.AttemptDone(&r.last)
	r.Detail = a.Detail
	if len(r.past) == routes.MaxAttempts {
		r.past = r.past[:routes.MaxAttempts-1]
	}
	r.past = append(r.past, a)
	if r.Traced() {
		r.trace.attemptEnded(id, a.Took)
	}
	if r.watched != nil {
		r.watched.attemptEnded(id, &r.last)
	}
}

// EndedOn is Ended for an attempt that had a connection, which completes what a says of it. The pool gets what that says of the endpoint, if
// anything follows for it.
func (r *Record) EndedOn(now time.Time, to routes.Recorder, t *Attempt, a routes.Attempt, follows bool) {
	a.Start, a.Reused, a.Peer, a.Took = t.Start, t.Lease.Reused(), t.Lease.Peer(), now.Sub(t.Began)
	if v := verdictOn(&a); follows && v != none {
		t.Lease.Report(now, v == bad)
	}
	r.Ended(to, t.ID, a)
}

// verdict is what the end of an attempt says of its endpoint.
type verdict uint8

const (
	none verdict = iota
	good
	bad
)

// verdictOn tells it. What the client has ended, or another attempt that was answered first, says nothing.
func verdictOn(a *routes.Attempt) verdict {
	switch {
	case a.Kind == call.ClientGone, a.Kind == call.Superseded:
		return none
	case a.Kind != call.OK, a.Status >= 500, a.Status == 429, a.GRPC && call.FailedGRPC(int(a.GRPCStatus)):
		return bad
	}
	return good
}

// Unmade is an attempt for which no connection was made.
type Unmade struct {
	Action call.Action // that has started it
	Err    error
	Until  time.Time // its deadline
	Peer   netip.AddrPort
	Took   time.Duration
}

// NotMade reports an attempt for which no connection was made, and returns what the call decides.
func (r *Record) NotMade(now time.Time, to routes.Recorder, c *call.Call, u Unmade) call.Action {
	id := u.Action.Attempt
	kind, why := FailureOf(u.Err)
	if kind != call.Internal && kind != call.ClientGone && Passed(u.Until, now) {
		kind, why = call.AttemptTimeout, DetailOfLimit(c.Limit(id))
	}
	r.Ended(to, id, routes.Attempt{Kind: kind, Start: u.Action.Start, Peer: u.Peer, Took: u.Took, Detail: why})
	switch kind {
	case call.ClientGone:
		r.Detail = routes.DetailClientLeft
		return c.ClientGone(now)
	case call.Internal:
		return c.LocalReject(now, id, call.Internal)
	default:
		return c.AttemptFailed(now, id, call.Failure{Kind: kind})
	}
}

// NoAddress reports an attempt for which no address was found of the name that its route goes by, and returns what the call decides.
func (r *Record) NoAddress(now time.Time, of *routes.Route, c *call.Call, a call.Action) call.Action {
	c.Placed(now, a.Attempt, netip.AddrPort{})
	r.Ended(of.Recorder(), a.Attempt, routes.Attempt{Kind: call.DNSFailed, Start: a.Start, Detail: of.DetailUnknown()})
	return c.AttemptFailed(now, a.Attempt, call.Failure{Kind: call.DNSFailed})
}

// Inject reports an attempt that a fault of the policy's has ended, and returns what the call decides.
//
//go:noinline
func (r *Record) Inject(now time.Time, to routes.Recorder, c *call.Call, a call.Action) call.Action {
	f := c.Fault(now, a.Attempt)
	t := routes.Attempt{Kind: f.Kind, Status: f.Status, Start: a.Start, Took: f.Took, Detail: routes.DetailFault}
	if f.GRPCStatus >= 0 {
		t.GRPC, t.GRPCStatus = true, policy.GRPCStatus(f.GRPCStatus)
	}
	if f.Kind == call.AttemptTimeout {
		t.Detail = DetailOfLimit(c.Limit(a.Attempt))
	}
	r.Ended(to, a.Attempt, t)
	return c.Injected(now, a.Attempt)
}

// Done is a call that has ended.
type Done struct {
	Client *Client
	Plan   *routes.Plan
	Call   *call.Call
	View   route.View
	GRPC   bool
	Took   time.Duration
	// Unanswered: the client got no response, and so no status, though it is there.
	Unanswered bool
}

// Report passes a call to a recorder. e is space for it, which keeps nothing of the request.
func (r *Record) Report(to routes.Recorder, e *routes.Exchange, d Done) {
	e.Pod, e.Original, e.Rule, e.AccessLog = d.Client.Pod, d.Client.Original, d.Plan.Rule, d.Plan.Settings.AccessLog
	e.Outcome, e.GRPC = d.Call.Outcome(), d.GRPC
	if d.Unanswered {
		e.Outcome.Status = 0
	}
	e.Took = d.Took
	e.Method, e.Host, e.Path = d.View.Method(), d.View.Host(), d.View.Target()
	e.Attempts, e.Detail = r.past, r.Detail
	r.reportTrace(e)
	e.DryRun = d.Plan.DryRunOf(d.Call)
	if e.DryRun.Detail == routes.NoDetail {
		e.DryRun.Detail = DetailOfLimit(e.DryRun.Limit)
	}
	if e.Watched = false; r.watched != nil {
		r.watched.ended(e)
	}
	to.CallDone(e)
	e.Method, e.Host, e.Path, e.Attempts, e.Trace = nil, nil, nil, nil, nil
}

// Attempted reports to the recorder how an attempt ended, and to the pool what that says of the endpoint.
func (x *Exchange) Attempted(t *Attempt, kind call.Kind, status int, why routes.Detail) {
	if t.Lease.Conn == nil {
		return
	}
	x.EndedOn(x.Now, x.AttemptRoute().Recorder(), t, routes.Attempt{Kind: kind, Status: status, Detail: why}, true)
}

// Report passes the call, which has ended, to the recorder.
func (x *Exchange) Report(v route.View, started time.Time) {
	x.Record.Report(x.Route.Recorder(), &x.report, Done{Client: x.Client, Plan: x.Plan, Call: &x.Call, View: v, Took: x.Now.Sub(started)})
}
