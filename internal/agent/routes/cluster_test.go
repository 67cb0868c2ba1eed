package routes

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// chosen is where a route's pool sends a call to the Service's address.
func chosen(t testing.TB, r *Route) netip.AddrPort {
	t.Helper()
	q := upstream.Request{Original: addr("10.96.0.7:80")}
	if a, _ := r.Pool.Acquire(time.Now(), &q); a != upstream.Dial {
		t.Fatalf("answer %d", a)
	}
	defer r.Pool.Cancel(time.Now(), &q)
	return q.Host().Addr()
}

// shopOf is the Service with other endpoints.
func shopOf(endpoints ...string) map[string]*policy.Destination {
	d := shop()
	d.Ports[0].Endpoints = nil
	for _, e := range endpoints {
		d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, addr(e))
	}
	return map[string]*policy.Destination{"ns/shop": d}
}

// A destination's hosts are the node's: a change concerns all pods, those that have not asked since too, and the instruments stay.
func TestAChangeOfEndpointsConcernsAllPods(t *testing.T) {
	s := newTable(t)
	snap := snapshot(withBreaker(policy.ShareNode))
	install(t, s, snap)
	a, b := routeTo(t, s, "a", "10.96.0.7:80"), routeTo(t, s, "b", "10.96.0.7:80")
	trip(t, a)
	cluster := a.entry.state.cluster
	if cluster != b.entry.state.cluster {
		t.Fatal("pods do not share the cluster")
	}
	next := *snap
	next.Destinations = shopOf("10.1.0.9:8080")
	install(t, s, &next)
	for _, r := range []*Route{a, b, routeTo(t, s, "a", "10.96.0.7:80")} {
		if at := chosen(t, r); at != addr("10.1.0.9:8080") {
			t.Errorf("a call went to %v", at)
		}
	}
	if again := routeTo(t, s, "b", "10.96.0.7:80"); again.Pool != b.Pool || again.entry.state.cluster != cluster || again.Plan(nil, nil).Breaker != a.Plan(nil, nil).Breaker {
		t.Error("something was replaced")
	}
	if a.Pool == b.Pool {
		t.Error("pods share a pool")
	}
}

// Where one of two profiles that share a binding could not be renewed, the newest version says how calls are balanced, for both.
func TestTheNewestVersionSaysHowHostsAreChosen(t *testing.T) {
	for refused, pods := range map[string][2]string{"p": {"a", "b"}, "q": {"b", "a"}} {
		s := newTable(t)
		balanced := func(b policy.LoadBalancing) policy.Binding {
			out := withBreaker(policy.ShareNode)
			out.Base.LoadBalancing = b
			return out
		}
		before := divided(balanced(policy.RoundRobin), balanced(policy.RoundRobin))
		install(t, s, before)
		next := divided(balanced(policy.ClusterIP), balanced(policy.ClusterIP))
		next.Profiles[refused] = before.Profiles[refused]
		for range 3 {
			install(t, s, next)
			for _, pod := range pods {
				if at := chosen(t, routeTo(t, s, pod, "10.96.0.7:80")); at != addr("10.96.0.7:80") {
					t.Errorf("%s refused, pod %s: a call went to %v", refused, pod, at)
				}
			}
		}
	}
}

// A pod that takes an ended one's place finds what the node knows of the hosts.
func TestTheClusterOutlivesThePodThatMadeIt(t *testing.T) {
	s := newTable(t)
	snap := snapshot(withBreaker(policy.ShareNode))
	install(t, s, snap)
	cluster := routeTo(t, s, "a", "10.96.0.7:80").entry.state.cluster
	next := *snap
	next.Workloads = map[string]*policy.Workload{"b": snap.Workloads["b"]}
	install(t, s, &next)
	if routeTo(t, s, "b", "10.96.0.7:80").entry.state.cluster != cluster {
		t.Error("it has a cluster of its own")
	}
}

// BenchmarkEndpointChange is one endpoint of a Service with 1,000 that changes, while 100 pods have pools of it.
func BenchmarkEndpointChange(b *testing.B) {
	const pods, endpoints = 100, 1000
	var all []netip.AddrPort
	for e := range endpoints + 1 {
		all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(e >> 8), byte(e)}), 8080))
	}
	snap := snapshot(withBreaker(policy.ShareNode))
	snap.Workloads = map[string]*policy.Workload{}
	for i := range pods {
		uid := fmt.Sprint("pod", i)
		snap.Workloads[uid] = &policy.Workload{UID: uid, Profile: "p"}
	}
	s := newTable(b)
	install(b, s, snap)
	for uid := range snap.Workloads {
		routeTo(b, s, uid, "10.96.0.7:80")
	}
	for i := 0; b.Loop(); i++ {
		d := shop()
		d.Ports[0].Endpoints = all[i%2 : endpoints+i%2]
		snap.Destinations = map[string]*policy.Destination{d.Name: d}
		install(b, s, snap)
	}
}
