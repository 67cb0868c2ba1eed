package distribute

import "testing"

// A report that is received while its stream ends is either counted before, and taken back then, or not at all.
func TestNothingIsCountedBehindTheEndOfAStream(t *testing.T) {
	s := trafficStore(t)
	agent := agentOf("n1")
	c := &reportCounter{store: s, agent: agent}
	if !c.count(report(1, breakers(1, 0, 0))) || s.Traffic(payments).Breakers.Open != 1 {
		t.Fatal("a report of a stream that lives is not counted")
	}
	c.end()
	if n := s.Traffic(payments).Breakers.Open; n != 0 {
		t.Errorf("%d open breakers of an agent that is gone", n)
	}
	if c.count(report(2, breakers(1, 0, 0))) || s.Traffic(payments).Breakers.Open != 0 {
		t.Error("a report is counted behind the end of its stream")
	}
}
