package h2

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// attempted reports to the recorder how an attempt ended, and to the pool what that says of the endpoint.
func (x *stream) attempted(t *attempt, kind call.Kind, status int, why routes.Detail) {
	if t.Lease.Conn == nil {
		return
	}
	now := x.s.now
	rpc := grpc.None
	if kind == call.OK {
		rpc = t.rpc.Status()
		t.late = x.rpc.is && rpc == grpc.None
	}
	x.last = routes.Attempt{
		Kind: kind, Status: status, Start: t.Start, Reused: t.Lease.Reused(), Peer: t.Lease.Peer(), Took: now.Sub(t.Began), Detail: why,
		GRPC: rpc != grpc.None, GRPCStatus: policy.GRPCStatus(max(rpc, 0)),
	}
	if kind != call.ClientGone && !t.never { // of which nothing follows for the endpoint
		t.Lease.Report(now, kind != call.OK || status >= 500 || status == 429 || call.FailedGRPC(rpc))
	}
	x.reportLast()
}

// reportLast passes x.last to the recorder, and keeps it for the report of the call.
func (x *stream) reportLast() {
	x.recorder.AttemptDone(&x.last)
	x.detail = x.last.Detail
	if len(x.past) == routes.MaxAttempts {
		x.past = x.past[:routes.MaxAttempts-1]
	}
	x.past = append(x.past, x.last)
}

// report passes the call, which has ended, to the recorder.
func (x *stream) report() {
	s := x.s
	e := &s.report
	e.Pod, e.Original, e.Rule, e.AccessLog = s.client.Pod, s.client.Original, x.plan.Rule, x.plan.Settings.AccessLog
	e.Outcome, e.GRPC = x.call.Outcome(), x.rpc.is
	if x.refused {
		e.Outcome.Status = 0
	}
	e.Took = s.now.Sub(x.started)
	e.Method, e.Host, e.Path = x.head.Method(), x.head.Host(), x.head.Target()
	e.Attempts, e.Detail = x.past, x.detail
	x.recorder.CallDone(e)
	e.Method, e.Host, e.Path, e.Attempts = nil, nil, nil, nil
}
