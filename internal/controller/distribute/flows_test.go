package distribute

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// What a report says of flows is passed on once, however often it comes, unless it is too old to be of the time in which it would be counted.
func TestFlowsArePassedOnOnce(t *testing.T) {
	s := trafficStore(t)
	var got []policy.Flow
	s.opts.Flows = func(_ time.Time, flows []policy.Flow) { got = append(got, flows...) }
	agent := agentOf("n1")
	of := func(sequence uint64, age time.Duration, calls uint64) wire.Report {
		r := report(sequence)
		r.Age, r.Body.Flows = age, []policy.Flow{{Destination: "a:80", Counts: policy.FlowCounts{Calls: calls}}}
		return r
	}
	for _, r := range []wire.Report{of(1, 0, 5), of(1, time.Second, 5), of(2, Window, 7), of(3, 10*time.Second, 9)} {
		s.observe(agent, r)
	}
	if len(got) != 2 || got[0].Counts.Calls != 5 || got[1].Counts.Calls != 9 {
		t.Errorf("passed on: %+v", got)
	}
}

func TestNodesAndTheirAgentsAreListed(t *testing.T) {
	var heard []string
	s := NewStore(StoreOptions{AgentChanged: func(node, version string, connected bool) {
		heard = append(heard, fmt.Sprint(node, " ", version, " ", connected))
	}})
	c := s.attach("n2", "uid-2", wire.Hello{Version: "v1", Features: wire.AllFeatures() &^ wire.FeaturesOf(wire.FeatureInventory)})
	s.attach("n1", "uid-1", wire.Hello{Version: "v2", Features: wire.AllFeatures()})
	all := s.NodeStates()
	if len(all) != 2 || all[0].Name != "n1" || all[0].Agents[0].Missing != 0 || all[1].Agents[0].Version != "v1" ||
		all[1].Agents[0].Missing != wire.FeaturesOf(wire.FeatureInventory) || all[1].Agents[0].PodUID != "uid-2" {
		t.Errorf("listed: %+v", all)
	}
	s.detach(c, time.Now())
	s.detach(c, time.Now())
	if got := fmt.Sprint(heard); got != "[n2 v1 true n1 v2 true n2 v1 false]" {
		t.Errorf("heard %s", got)
	}
	if all := s.NodeStates(); len(all) > 2 || len(all[len(all)-1].Agents) > 0 && all[len(all)-1].Name == "n2" {
		t.Errorf("when it has gone: %+v", all)
	}
}
