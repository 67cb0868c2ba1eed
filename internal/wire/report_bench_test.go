package wire

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// A report of a node with as many policies as pods: what a busy cluster sends once per node and interval.
func BenchmarkDecodeAReport(b *testing.B) {
	var r Report
	for i := range 29 {
		entry := policy.Traffic{Policy: policy.ParseID(fmt.Sprint("shop/p", i)), Target: "service shop/cart", Connections: 3}
		entry.Counts = policy.Counts{Requests: 100, Successes: 90, Retries: 7}
		entry.Latency[20+i%10] = 100
		r.Body.Traffic = append(r.Body.Traffic, entry)
	}
	m, err := reportRequestToProto(r)
	if err != nil {
		b.Fatal(err)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m := new(pb.ReportRequest)
		if err := proto.Unmarshal(data, m); err != nil {
			b.Fatal(err)
		}
		if _, err := reportRequestFromProto(m); err != nil {
			b.Fatal(err)
		}
	}
}
