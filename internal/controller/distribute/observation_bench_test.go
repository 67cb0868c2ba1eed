package distribute

import (
	"fmt"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// A report of a node with as many policies as pods: what a busy cluster sends once per node and interval.
func BenchmarkCountAReport(b *testing.B) {
	const profiles = 29
	s := NewStore(StoreOptions{})
	var batch Batch
	r := report(0)
	for i := range profiles {
		name := fmt.Sprint("p", i)
		batch.SetProfile(profileOf(name, 1, "shop/cart"))
		batch.SetWorkload("n1", pod(name, name))
		entry := policy.Traffic{Policy: policyOf(name), Target: "service shop/cart", Connections: 3}
		entry.Counts = policy.Counts{Requests: 100, Successes: 90, Retries: 7}
		entry.Latency[20+i%10] = 100
		r.Body.Traffic = append(r.Body.Traffic, entry)
	}
	if err := s.Publish(&batch); err != nil {
		b.Fatal(err)
	}
	s.traffic.streamStarted(agentOf("n1"))
	b.ReportAllocs()
	for b.Loop() {
		r.Sequence++
		s.observe(agentOf("n1"), r)
	}
	if got := s.Traffic(policyOf("p3")); got.Counts.Requests == 0 {
		b.Error("nothing was counted")
	}
}
