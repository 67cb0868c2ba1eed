package h2

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// attempted reports to the recorder how an attempt ended, and to the pool what that says of the endpoint.
func (x *stream) attempted(t *attempt, kind call.Kind, status int, why routes.Detail) {
	t.reported = true
	if t.Lease.Conn == nil {
		return
	}
	rpc := grpc.None
	if kind == call.OK {
		rpc = t.rpc.Status()
		t.late = x.rpc.is && rpc == grpc.None
	}
	a := routes.Attempt{Kind: kind, Status: status, Detail: why, GRPC: rpc != grpc.None, GRPCStatus: policy.GRPCStatus(max(rpc, 0))}
	x.EndedOn(x.s.now, x.attemptRecorder(), &t.Attempt, a, !t.never)
}

// report passes the call, which has ended, to the recorder.
func (x *stream) report() {
	s := x.s
	d := drive.Done{Client: s.client, Plan: x.plan, Call: &x.call, View: &x.head, GRPC: x.rpc.is, Took: s.now.Sub(x.started), Unanswered: x.refused}
	x.Report(x.recorder, &s.report, d)
}
