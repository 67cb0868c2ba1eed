package wire

import (
	"strings"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// flowProtocols are the protocols of flows as they travel. The table is never written to.
var flowProtocols = enum[pb.FlowProtocol]{
	policy.FlowTCP:  pb.FlowProtocol_FLOW_PROTOCOL_UNSPECIFIED,
	policy.FlowTLS:  pb.FlowProtocol_FLOW_PROTOCOL_TLS,
	policy.FlowHTTP: pb.FlowProtocol_FLOW_PROTOCOL_HTTP,
	policy.FlowGRPC: pb.FlowProtocol_FLOW_PROTOCOL_GRPC,
}

func (e *translator) flow(f policy.Flow) *pb.Flow {
	m := &pb.Flow{
		Namespace: f.Caller.Namespace, Workload: f.Caller.Workload, Target: f.Target, Destination: f.Destination,
		Protocol: enc(e, flowProtocols, f.Protocol), Calls: e.tally(f.Counts.Calls), Successes: e.tally(f.Counts.Successes),
		Retries: e.tally(f.Counts.Retries), Latency: e.latency(&f.Latency),
	}
	if f.Policy != (policy.ID{}) {
		m.Policy = e.policyID(f.Policy)
	}
	if f.Address.IsValid() {
		m.Address = e.addrPort(f.Address)
	}
	return m
}

func (d *decoder) flow(m *pb.Flow) policy.Flow {
	f := policy.Flow{
		Caller: policy.Caller{Namespace: d.flowText(m.GetNamespace()), Workload: d.flowText(m.GetWorkload())},
		Target: d.flowText(m.GetTarget()), Destination: d.flowText(m.GetDestination()),
		Counts:  policy.FlowCounts{Calls: d.tally(m.GetCalls()), Successes: d.tally(m.GetSuccesses()), Retries: d.tally(m.GetRetries())},
		Latency: d.latency(m.GetLatency()),
	}
	// What only newer agents can tell apart is TCP here, like what no agent can.
	_ = fromWire(flowProtocols, m.GetProtocol(), &f.Protocol)
	if m.GetPolicy() != nil {
		f.Policy = d.policyID(m.GetPolicy())
	}
	if len(m.GetAddress()) > 0 {
		f.Address = d.addrPort(m.GetAddress())
	}
	return f
}

// flowText checks a text that people read: it is of printable ASCII, as names are.
func (d *decoder) flowText(s string) string {
	if len(s) > MaxName || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		d.fail("a name of a flow of %d bytes, or with characters that names do not have", len(s))
		return ""
	}
	return s
}
