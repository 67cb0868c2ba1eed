package index_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
)

// A node gets its zone when the cloud's controller finds it, which may be after its first pods have come.
func TestWorkloadsFollowTheZoneOfTheirNode(t *testing.T) {
	w := indextest.NewWorld()
	x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{host: a.example}]}`))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	x.SetPod(indextest.RunningPod("shop", "b", "node-2", "a"))
	want := func(when, one, two string) {
		t.Helper()
		indextest.Publish(x, out)
		for _, p := range out.Workloads {
			if zone := map[string]string{"a": one, "b": two}[p.Name]; p.Zone != zone {
				t.Errorf("%s: pod %s is in zone %q, want %q", when, p.Name, p.Zone, zone)
			}
		}
		clear(out.Workloads)
	}
	want("at first", "", "")
	w.Zones["node-1"] = "east"
	x.NodeChanged("node-1")
	want("after the node has its zone", "east", "none, it is not published")
	x.NodeChanged("node-1")
	x.NodeChanged("node-3")
	if indextest.Publish(x, out); len(out.Workloads) > 0 {
		t.Error("workloads are published again though no zone has changed")
	}
	delete(w.Zones, "node-1")
	x.NodeChanged("node-1")
	want("after the node has gone", "", "none, it is not published")
}

// Between the change of a node's zone and the notice of it, pods of the node may be published, with the new zone. Those from before follow all the same, also when
// the zone is by then what it was at first.
func TestWorkloadsFollowAZoneThatOthersWerePublishedWith(t *testing.T) {
	for _, last := range []string{"east", ""} {
		w := indextest.NewWorld()
		x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
		x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{host: a.example}]}`))
		x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
		indextest.Publish(x, out)
		w.Zones["node-1"] = "east"
		x.SetPod(indextest.RunningPod("shop", "b", "node-1", "a"))
		indextest.Publish(x, out)
		w.Zones["node-1"] = last
		x.NodeChanged("node-1")
		indextest.Publish(x, out)
		if len(out.Workloads) != 2 {
			t.Fatalf("%d workloads are published", len(out.Workloads))
		}
		for _, p := range out.Workloads {
			if p.Zone != last {
				t.Errorf("pod %s is in zone %q, want %q", p.Name, p.Zone, last)
			}
		}
	}
}
