package distribute

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Calls are counted apart by node: those of the destinations that are compared, of the time since the comparison began, each once, and of nodes that have
// the policy.
func TestCallsOfSomeNodesAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		at := func(sequence uint64, covered time.Duration, entries ...policy.Traffic) wire.Report {
			r := report(sequence, entries...)
			r.Covered = covered
			return r
		}
		s.observe(agentOf("n1"), at(1, time.Second, calls("cart", 1000)))
		s.StartComparison(payments, Comparison{
			Of: map[CallsOf]struct{}{{payments, "service shop/cart"}: {}}, On: func(node string) bool { return node == "n1" },
		})
		time.Sleep(10 * time.Second)
		s.observe(agentOf("n1"), at(2, 20*time.Second, calls("cart", 1000))) // some of it is older
		bad := calls("cart", 10)
		bad.Counts.Successes = 4
		s.observe(agentOf("n1"), at(3, time.Second, bad, calls("stock", 100)))
		s.observe(agentOf("n1"), at(3, time.Second, bad)) // sent again
		s.observe(agentOf("n2"), at(1, time.Second, calls("cart", 7)))
		s.observe(agentOf("n3"), at(1, time.Second, calls("cart", 500))) // has another policy
		want := Compared{On: CallCount{Calls: 10, Successes: 4}, Others: CallCount{Calls: 7, Successes: 7}}
		if diff := cmp.Diff(want, s.Compared(payments)); diff != "" {
			t.Error(diff)
		}
		if got := s.Compared(payments); got != (Compared{}) {
			t.Errorf("counted twice: %+v", got)
		}
		s.EndComparison(payments)
		s.observe(agentOf("n2"), at(2, time.Second, calls("cart", 7)))
		if got := s.Compared(payments); got != (Compared{}) || len(s.traffic.comparisons.of) != 0 {
			t.Errorf("counted after the end: %+v", got)
		}
	})
}
