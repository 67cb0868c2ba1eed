package distribute

import (
	"testing"
	"testing/synctest"
)

// TestNodesWithoutAgentAreCounted: those with pods alone, and only while agents can be connected at all.
func TestNodesWithoutAgentAreCounted(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		lost := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if got := o.store.Size().WithoutAgent; got != want {
				t.Errorf("%s: %d nodes without agent, want %d", when, got, want)
			}
		}
		lost("without pods", 0)
		o.publish(shop)
		lost("before agents have come", 2)
		one := o.subscribed("n1", nil)
		one.receive()
		lost("with the agent of one node", 1)
		one.leave()
		lost("once it has left", 2)
		o.store.Serving().Stop()
		lost("on a replica that does not lead", 0)
	})
}
