package drive

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// Attempted reports to the recorder how an attempt ended, and to the pool what that says of the endpoint.
func (x *Exchange) Attempted(t *Attempt, kind call.Kind, status int, why routes.Detail) {
	if t.Lease.Conn == nil {
		return
	}
	x.last = routes.Attempt{
		Kind: kind, Status: status, Start: t.Start, Reused: t.Lease.Reused(), Peer: t.Lease.Peer(), Took: x.Now.Sub(t.Began), Detail: why,
	}
	if kind != call.ClientGone { // of which nothing follows for the endpoint
		t.Lease.Report(x.Now, kind != call.OK || status >= 500 || status == 429)
	}
	x.reportLast()
}

// reportLast passes x.last to the recorder, and keeps it for the report of the call.
func (x *Exchange) reportLast() {
	x.Route.Recorder().AttemptDone(&x.last)
	x.Detail = x.last.Detail
	if len(x.past) == routes.MaxAttempts {
		x.past = x.past[:routes.MaxAttempts-1]
	}
	x.past = append(x.past, x.last)
}

// Report passes the call, which has ended, to the recorder.
func (x *Exchange) Report(v route.View, started time.Time) {
	e := &x.report
	e.Pod, e.Original, e.Rule, e.AccessLog = x.Client.Pod, x.Client.Original, x.Plan.Rule, x.Plan.Settings.AccessLog
	e.Outcome = x.Call.Outcome()
	e.Took = x.Now.Sub(started)
	e.Method, e.Host, e.Path = v.Method(), v.Host(), v.Target()
	e.Attempts, e.Detail = x.past, x.Detail
	x.Route.Recorder().CallDone(e)
	e.Method, e.Host, e.Path, e.Attempts = nil, nil, nil, nil
}
