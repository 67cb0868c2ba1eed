package distribute

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// An edit of a policy that concerns a pod on every node, without the network: what the manager does under its lock for 5,000 agents.
func BenchmarkEditForEveryNode(b *testing.B) {
	for _, nodes := range []int{1000, 5000} {
		s, sessions := fleetOf(b, nodes, nodes*2/5)
		var batch Batch
		batch.SetProfile(profileOf("everywhere", 1))
		for n := range nodes {
			batch.SetWorkload(fmt.Sprintf("node-%d", n), pod(fmt.Sprint("everywhere-", n), "everywhere"))
		}
		if err := s.Publish(&batch); err != nil {
			b.Fatal(err)
		}
		for _, c := range sessions {
			acknowledgeNext(b, s, c)
		}
		b.Run(fmt.Sprintf("%d-nodes", nodes), func(b *testing.B) { editEverywhere(b, s, sessions) })
	}
}

func editEverywhere(b *testing.B, s *Store, sessions []*session) {
	var published, made, acknowledged time.Duration
	updates := make([]*wire.Update, len(sessions))
	b.ReportAllocs()
	for edit := 2; b.Loop(); edit++ {
		began := time.Now()
		var batch Batch
		batch.SetProfile(profileOf("everywhere", edit))
		if err := s.Publish(&batch); err != nil {
			b.Fatal(err)
		}
		then := time.Now()
		published += then.Sub(began)
		for i, c := range sessions {
			updates[i], _ = s.next(c, then)
		}
		began = time.Now()
		made += began.Sub(then)
		for i, c := range sessions {
			if err := s.acknowledge(c, wire.Ack{Nonce: updates[i].Nonce}); err != nil {
				b.Fatal(err)
			}
		}
		acknowledged += time.Since(began)
	}
	if r := s.Rollout(policyOf("everywhere")); r.Programmed != len(sessions) {
		b.Fatalf("%+v", r)
	}
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N*len(sessions)) }
	b.ReportMetric(each(published), "publish-ns/node")
	b.ReportMetric(each(made), "update-ns/node")
	b.ReportMetric(each(acknowledged), "acknowledge-ns/node")
}
