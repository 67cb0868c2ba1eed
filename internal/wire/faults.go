package wire

import (
	"math"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// faultAborts are never written to.
var faultAborts = enum[pb.FaultAbort]{
	policy.NoFaultAbort:  pb.FaultAbort_FAULT_ABORT_NONE,
	policy.FaultResponse: pb.FaultAbort_FAULT_ABORT_RESPONSE,
	policy.FaultReset:    pb.FaultAbort_FAULT_ABORT_RESET,
}

func (e *translator) faults(f *policy.Faults) *pb.Faults {
	if f == nil {
		return nil
	}
	return &pb.Faults{
		Until: between(&e.checker, "time", f.Until, maxTime), Percent: e.percent(f.Percent),
		Delay: e.duration(f.Delay), JitterPercent: e.percent(f.JitterPercent), Abort: enc(e, faultAborts, f.Abort),
		Status: e.count(f.Status), GrpcStatus: uint32(f.GRPCStatus),
	}
}

func (d *decoder) faults(m *pb.Faults) *policy.Faults {
	if m == nil {
		return nil
	}
	return &policy.Faults{
		Until: between(&d.checker, "time", m.GetUntil(), maxTime), Percent: d.percent(m.GetPercent()),
		Delay: d.duration(m.GetDelay()), JitterPercent: d.percent(m.GetJitterPercent()), Abort: dec[policy.FaultAbort](d, faultAborts, m.GetAbort()),
		Status: d.count(m.GetStatus()), GRPCStatus: policy.GRPCStatus(between(&d.checker, "gRPC status", m.GetGrpcStatus(), math.MaxUint8)),
	}
}
