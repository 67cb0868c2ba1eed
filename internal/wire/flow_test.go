package wire

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func TestFlowsTravel(t *testing.T) {
	f := policy.Flow{
		Caller: policy.Caller{Namespace: "shop", Workload: "cart"}, Policy: policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "all"}, Target: "any",
		Destination: "api.example:443", Address: netip.MustParseAddrPort("192.0.2.1:443"), Protocol: policy.FlowGRPC,
		Counts: policy.FlowCounts{Calls: 9, Successes: 8, Retries: 2},
	}
	f.Latency[17] = 9
	other := policy.Flow{Counts: policy.FlowCounts{Calls: 3}}
	sent := policy.Report{Flows: []policy.Flow{f, other}}
	m, err := reportToProto(&sent)
	if err != nil {
		t.Fatal(err)
	}
	got, err := reportFromProto(m)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent.Flows, got.Flows, netipEqual); diff != "" {
		t.Error(diff)
	}
	// What a newer agent can tell apart is still counted.
	m.Flows[0].Protocol = 77
	if got, err = reportFromProto(m); err != nil || got.Flows[0].Protocol != policy.FlowTCP || got.Flows[0].Counts.Calls != 9 {
		t.Errorf("of another protocol: %+v, %v", got, err)
	}
}

func TestWhatFlowsCannotBeIsRefused(t *testing.T) {
	for name, m := range map[string]*pb.Report{
		"too many":           {Flows: make([]*pb.Flow, policy.MaxFlows+1)},
		"a long name":        {Flows: []*pb.Flow{{Destination: strings.Repeat("x", MaxName+1)}}},
		"a control":          {Flows: []*pb.Flow{{Destination: "a\x1b[31m"}}},
		"another alphabet":   {Flows: []*pb.Flow{{Workload: "\u202eevil"}}},
		"an address":         {Flows: []*pb.Flow{{Destination: "a:1", Address: []byte{1}}}},
		"too many latencies": {Flows: []*pb.Flow{{Latency: make([]uint64, policy.LatencyBuckets+1)}}},
		"absurdly many":      {Flows: []*pb.Flow{{Calls: 1 << 60}}},
	} {
		if _, err := reportFromProto(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAManagerSaysWhetherItTakesFlows(t *testing.T) {
	for _, takes := range []bool{false, true} {
		if got := reportAckFromProto(reportAckToProto(ReportAck{Sequence: 1, TakesFlows: takes})); got.TakesFlows != takes {
			t.Errorf("%t travels as %t", takes, got.TakesFlows)
		}
	}
	if reportAckFromProto(&pb.ReportAck{Sequence: 1}).TakesFlows {
		t.Error("a manager that does not say takes them")
	}
}
