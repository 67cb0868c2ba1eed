package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// A node gets its zone when the cloud's controller finds it, which may be after its first pods have come.
func TestWorkloadsFollowTheZoneOfTheirNode(t *testing.T) {
	w := newWorld()
	x, out := newIndex(w, "fairlead-system"), newPublished()
	x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{host: a.example}]}`))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.setPod(testPod("shop", "b", "node-2", "a"))
	want := func(when string, one, two string) {
		t.Helper()
		x.flush(out)
		for _, p := range out.Workloads {
			if zone := map[string]string{"a": one, "b": two}[p.Name]; p.Zone != zone {
				t.Errorf("%s: pod %s is in zone %q, want %q", when, p.Name, p.Zone, zone)
			}
		}
	}
	want("at first", "", "")
	w.zones["node-1"] = "east"
	x.nodeChanged("node-1")
	want("after the node has its zone", "east", "")
	x.nodeChanged("node-1")
	x.nodeChanged("node-3")
	if len(x.changes.workloads) > 0 {
		t.Error("workloads are published again though no zone has changed")
	}
	delete(w.zones, "node-1")
	x.nodeChanged("node-1")
	want("after the node has gone", "", "")
}

func TestTheCacheKeepsTheZoneOfANode(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelTopologyZone: "east", "pool": "big"}}}
	node.Status.Images = []corev1.ContainerImage{{Names: []string{"an image"}}}
	kept, err := trimNode(node)
	if err != nil {
		t.Fatal(err)
	}
	if n := kept.(*corev1.Node); len(n.Labels) != 1 || len(n.Status.Images) != 0 {
		t.Errorf("more is kept than the zone: %+v", n)
	}
	c := &cluster{reader: fake.NewClientBuilder().WithObjects(kept.(*corev1.Node)).Build()}
	if zone := c.Zone("node-1"); zone != "east" {
		t.Errorf("zone %q", zone)
	}
	if zone := c.Zone("node-2"); zone != "" {
		t.Errorf("zone %q of a node that is not there", zone)
	}
}
