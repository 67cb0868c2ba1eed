package routes

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// keeping returns a snapshot with a Service of many endpoints of which pods keep one.
func keeping(endpoints int, bindings ...policy.Binding) *policy.Snapshot {
	d := shop()
	d.Affinity = time.Hour
	d.Ports[0].Endpoints = nil
	for i := range endpoints {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 8080)
		d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, policy.Endpoint{Addr: a})
	}
	snap := snapshot(bindings...)
	snap.Destinations["ns/shop"] = d
	return snap
}

func toShop(key string) policy.Binding {
	return binding(key, policy.Target{Kind: policy.TargetService, Service: "ns/shop"})
}

// Policies come and go, endpoints come: a pod keeps its own, as long as it is under some policy.
func TestRule40_APodKeepsItsEndpointWhenPoliciesChange(t *testing.T) {
	s := newTable(t)
	install(t, s, keeping(4, toShop("one")))
	first := chosen(t, routeTo(t, s, "a", "10.96.0.7:80"))
	// So many that one of them would rank before the first.
	install(t, s, keeping(200, toShop("two")))
	if at := chosen(t, routeTo(t, s, "a", "10.96.0.7:80")); at != first {
		t.Errorf("under another policy the pod goes to %v, it went to %v", at, first)
	}
	other := toShop("three")
	other.Base.LoadBalancing = policy.ClusterIP
	install(t, s, keeping(200, other))
	if at := chosen(t, routeTo(t, s, "a", "10.96.0.7:80")); at != addr("10.96.0.7:80") {
		t.Errorf("the choice is left to the cluster, and the pod goes to %v", at)
	}
	snap := keeping(200, toShop("one"))
	delete(snap.Workloads, "a")
	install(t, s, snap)
	if len(s.affinities.pods["a"]) > 0 {
		t.Error("a pod is remembered that is gone")
	}
}

// A Service may come to ask for it while pods call it.
func TestRule40_AServiceBeginsToHaveAffinity(t *testing.T) {
	s := newTable(t)
	without := keeping(16, toShop("one"))
	without.Destinations["ns/shop"].Affinity = 0
	install(t, s, without)
	for _, pod := range []string{"a", "b"} {
		routeTo(t, s, pod, "10.96.0.7:80")
	}
	install(t, s, keeping(16, toShop("one")))
	r := routeTo(t, s, "a", "10.96.0.7:80")
	first := chosen(t, r)
	for range 20 {
		if at := chosen(t, r); at != first {
			t.Fatalf("a call goes to %v, one before went to %v", at, first)
		}
	}
}

// A route of a version that is not in force any more works, and leaves nothing behind.
func TestRule40_ARouteOfAFormerVersionKeepsAnEndpoint(t *testing.T) {
	s := newTable(t)
	install(t, s, keeping(16, toShop("one")))
	former := s.PodRoutes("a")
	c := former.Candidates(addr("10.96.0.7:80"))[0]
	snap := keeping(16, toShop("one"))
	delete(snap.Workloads, "a")
	install(t, s, snap)
	r, err := former.Route(&c, nil, addr("10.96.0.7:80"))
	if err != nil {
		t.Fatal(err)
	}
	if first := chosen(t, r); first != chosen(t, r) {
		t.Error("two calls go to two endpoints")
	}
	if len(s.affinities.pods) > 0 {
		t.Error("a pod is remembered that is gone")
	}
}

// A Service that a pod has no policy for any more is remembered as long as its timeout says, in case the policy comes back, and not for ever.
func TestAServiceThatIsNotGovernedAnyMoreIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t)
		governed, other := keeping(4, toShop("one")), keeping(4, toShop("other"))
		other.Profiles["p"].Bindings[0].To.Service = "ns/stall"
		other.Destinations["ns/stall"] = &policy.Destination{Name: "ns/stall"}
		install(t, s, governed)
		first := chosen(t, routeTo(t, s, "a", "10.96.0.7:80"))
		install(t, s, other)
		time.Sleep(time.Hour / 2)
		install(t, s, keeping(200, toShop("one")))
		if at := chosen(t, routeTo(t, s, "a", "10.96.0.7:80")); at != first {
			t.Errorf("under a policy that came back the pod goes to %v, it went to %v", at, first)
		}
		install(t, s, other)
		time.Sleep(time.Hour)
		install(t, s, other)
		if len(s.affinities.pods) > 0 || len(s.affinities.unused) > 0 {
			t.Errorf("remembered after its timeout: %v", s.affinities.pods)
		}
		install(t, s, governed)
		routeTo(t, s, "a", "10.96.0.7:80")
		time.Sleep(2 * time.Hour)
		install(t, s, keeping(4, toShop("one"), toShop("two")))
		if len(s.affinities.pods["a"]) != 1 {
			t.Error("forgotten while a pool uses it: pools of two policies would go to two endpoints")
		}
	})
}

// A port that a Service has lost leaves nothing behind.
func TestAPortThatIsGoneIsForgotten(t *testing.T) {
	s := newTable(t)
	snap := snapshot(toShop("one"))
	install(t, s, snap)
	kept, lost := routeTo(t, s, "a", "10.96.0.7:80"), routeTo(t, s, "a", "10.96.0.7:81")
	d := shop()
	d.Ports = d.Ports[:1]
	snap = snapshot(toShop("one"))
	snap.Destinations["ns/shop"] = d
	install(t, s, snap)
	install(t, s, snap)
	if kept.Stale() || !lost.Stale() || len(s.entries.pods["a"].all) != 1 || len(s.affinities.pods["a"]) != 1 {
		t.Errorf("%d pools and %d affinities are kept", len(s.entries.pods["a"].all), len(s.affinities.pods["a"]))
	}
}
