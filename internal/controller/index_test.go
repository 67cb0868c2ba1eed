package controller

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func TestWorkIsProportionalToWhatAChangeAffects(t *testing.T) {
	w, x, out := populate(t, 100, 10)
	if x.compiles != 100 || len(out.Workloads) != 1000 || len(out.Destinations) != 100 {
		t.Fatalf("%d profiles compiled, %d workloads, %d destinations", x.compiles, len(out.Workloads), len(out.Destinations))
	}
	edit := func(spec string, generation int64) func() {
		return func() { x.setPolicy("p-ns-7", retryPolicy(t, "ns-7", "p", generation, spec)) }
	}
	tests := []struct {
		name     string
		change   func()
		compiles int
		dirty    []string
	}{
		{"nothing", func() {}, 0, nil},
		{"a pod that is as before", func() { x.setPod(testPod("ns-7", "pod-1", "node-1", "a")) }, 0, nil},
		{"one more pod of a known kind on a known node", func() { x.setPod(testPod("ns-7", "new", "node-1", "a")) }, 0, []string{"ns-7/p"}},
		{"a pod that nothing selects", func() { x.setPod(testPod("ns-7", "other", "node-1", "b")) }, 0, nil},
		{"endpoints of one Service", func() {
			w.services["ns-7/api"] = service{port: 80, endpoints: 2}
			x.serviceChanged("ns-7/api")
		}, 0, []string{"ns-7/p"}},
		{"a Service that nobody names", func() { x.serviceChanged("ns-7/else") }, 0, nil},
		{"what one policy says", edit(`{podSelector: {matchLabels: {app: a}}, to: [{service: {name: api}}], retry: {maxRetries: 1}}`, 2), 1, []string{"ns-7/p"}},
		{"whom one policy selects", edit(`{podSelector: {matchLabels: {app: b}}, to: [{service: {name: api}}]}`, 3), 1, []string{"ns-7/p"}},
		{"a second policy in a namespace", func() {
			x.setPolicy("q", retryPolicy(t, "ns-8", "q", 1, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
		}, 1, []string{"ns-8/p", "ns-8/q"}},
		{"a cluster policy for one namespace", func() {
			x.setPolicy("c", clusterPolicy(t, "c", 1, `{namespaceSelector: {matchLabels: {name: ns-9}}, to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
		}, 1, []string{"c", "ns-9/p"}},
		{"the labels of a namespace", func() { x.setNamespace("ns-10", labels.Set{"name": "ns-9"}) }, 1, []string{"c", "ns-10/p"}},
	}
	for _, tc := range tests {
		before := x.compiles
		tc.change()
		dirty := x.flush(out)
		if got := x.compiles - before; got != tc.compiles {
			t.Errorf("%s: %d profiles compiled, want %d", tc.name, got, tc.compiles)
		}
		if diff := cmp.Diff(tc.dirty, sortedNames(dirty)); diff != "" && len(tc.dirty)+len(dirty) > 0 {
			t.Errorf("%s: statuses to look at: %s", tc.name, diff)
		}
		if d := out.dangling(w); d != nil {
			t.Errorf("%s: dangling %v", tc.name, d)
		}
	}
}

// TestAnyHistoryEndsInTheSameState does random changes one by one and compares with an index that is told the outcome at once.
func TestAnyHistoryEndsInTheSameState(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := newWorld()
			for _, name := range []string{"n0/s0", "n0/s1", "n1/s0"} {
				w.services[name] = service{port: 80}
			}
			x, out := newIndex(w, "fairlead-system"), newPublished()
			for step := range 100 {
				randomChange(t, rng, w, x, int64(step+1))
				if rng.IntN(3) > 0 {
					x.flush(out)
				}
				checkViews(t, x)
			}
			x.flush(out)
			if diff := cmp.Diff(w.rebuilt(), out, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
			if d := out.dangling(w); d != nil {
				t.Errorf("dangling %v", d)
			}
		})
	}
}

// checkViews compares what the index remembers of its policies with what it works out anew.
func checkViews(t *testing.T, x *index) {
	t.Helper()
	for id, r := range x.policies {
		kept, _ := x.view(id)
		r.derived, r.overlaps = nil, nil
		if anew, _ := x.view(id); !reflect.DeepEqual(anew, kept) {
			t.Fatalf("%s: remembered %+v, want %+v", id, kept, anew)
		}
	}
}

// randomChange changes the world and tells x. Its policies never conflict and their Services never go, since what happens then depends on
// history by design: the last good version stays.
func randomChange(t *testing.T, rng *rand.Rand, w *world, x *index, generation int64) {
	ns := fmt.Sprintf("n%d", rng.IntN(2))
	pick := func(options ...string) string { return options[rng.IntN(len(options))] }
	switch rng.IntN(7) {
	case 0:
		l := labels.Set{"team": pick("x", "y")}
		w.namespaces[ns] = l
		x.setNamespace(ns, l)
		if rng.IntN(8) == 0 {
			delete(w.namespaces, ns)
			x.deleteNamespace(ns)
		}
	case 1, 2:
		name := fmt.Sprintf("pod-%d", rng.IntN(6))
		if rng.IntN(3) == 0 {
			delete(w.pods, ns+"/"+name)
			x.deletePod(ns, name)
			return
		}
		p := testPod(ns, name, fmt.Sprintf("node-%d", rng.IntN(3)), pick("a", "b"))
		p.UID = types.UID(fmt.Sprintf("%s-%s-%d", ns, name, rng.IntN(2)))
		p.HostNetwork = rng.IntN(6) == 0
		w.pods[ns+"/"+name] = p
		x.setPod(p)
	case 3:
		name := pick("n0/s0", "n0/s1", "n1/s0")
		w.services[name] = service{port: uint16(80), endpoints: rng.IntN(3), affinity: rng.IntN(3) == 0}
		x.serviceChanged(name)
	case 4:
		node := fmt.Sprintf("node-%d", rng.IntN(3))
		w.zones[node] = pick("", "a", "b")
		x.nodeChanged(node)
	default:
		n := rng.IntN(3)
		id := policy.ID{Kind: policy.KindRetryPolicy, Namespace: ns, Name: fmt.Sprintf("p%d", n)}
		target := fmt.Sprintf("{host: h%d.example}, {service: {name: s0, port: 80}}", n)
		if n > 0 {
			target = fmt.Sprintf(`{host: h%d.example}`, n)
		}
		spec := fmt.Sprintf(`{mode: %s, podSelector: {matchLabels: {app: %s}}, to: [%s], retry: {maxRetries: %d}}`,
			pick("Enforce", "Enforce", "Disabled", "DryRun"), pick("a", "b"), target, rng.IntN(5))
		src := retryPolicy(t, ns, id.Name, generation, spec)
		if rng.IntN(3) == 0 {
			id = policy.ID{Kind: policy.KindClusterRetryPolicy, Name: fmt.Sprintf("c%d", n)}
			spec = fmt.Sprintf(`{namespaceSelector: {matchLabels: {team: %s}}, to: [{cidr: {block: 10.%d.0.0/16}}, {service: {name: s%d}}], %s: {retry: {maxRetries: %d}}}`,
				pick("x", "y"), n, n, pick("defaults", "overrides"), rng.IntN(5))
			src = clusterPolicy(t, id.Name, generation, spec)
		}
		if rng.IntN(4) == 0 {
			delete(w.policies, id)
			x.deletePolicy(id)
			return
		}
		uid := types.UID(fmt.Sprintf("%s-%d", id, rng.IntN(2)))
		w.policies[id] = written{uid, src}
		x.setPolicy(uid, src)
	}
}

func TestRule37_HostNetworkPodsAreCountedAndNotGoverned(t *testing.T) {
	w, x, out := populate(t, 1, 3)
	host := testPod("ns-0", "host", "node-0", "a")
	host.HostNetwork = true
	x.setPod(host)
	ended := testPod("ns-0", "pod-2", "node-2", "a")
	ended.Running = false
	x.setPod(ended)
	x.flush(out)
	v, _ := x.view(policy.ParseID("ns-0/p"))
	if v.pods != 2 || v.hostNetworkPods != 1 || len(out.Workloads) != 2 {
		t.Errorf("%d pods, %d on the host's network, %d workloads", v.pods, v.hostNetworkPods, len(out.Workloads))
	}
	for name := range w.pods {
		x.deletePod("ns-0", name[len("ns-0/"):])
	}
	x.deletePod("ns-0", "host")
	x.flush(out)
	if v, _ := x.view(policy.ParseID("ns-0/p")); v.pods != 0 || v.hostNetworkPods != 0 || len(v.profiles) != 0 {
		t.Errorf("after all pods went: %+v", v)
	}
	if diff := cmp.Diff(newPublished(), out); diff != "" {
		t.Error(diff)
	}
}

func TestPodsOfTheManagersOwnNamespaceAreNeverGoverned(t *testing.T) {
	x, out := newIndex(newWorld(), "fairlead-system"), newPublished()
	x.setNamespace("fairlead-system", nil)
	x.setPolicy("c", clusterPolicy(t, "c", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
	x.setPod(testPod("fairlead-system", "agent", "node-1", "agent"))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.setNamespace("shop", nil)
	x.flush(out)
	if len(out.Workloads) != 1 || out.Workloads["shop-a"].Name != "a" {
		t.Errorf("governed: %v", out.Workloads)
	}
}

func TestANewLeaderKeepsWhatWasInForceWhileAServiceIsGone(t *testing.T) {
	for name, tc := range map[string]struct {
		inForce int64 // by the policy's status
		want    []string
	}{
		"this generation was in force":  {2, []string{"host a.example"}},
		"an earlier one was":            {1, nil},
		"none was, or nothing is known": {0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x, out := newIndex(newWorld(), "fairlead-system"), newPublished()
			src := retryPolicy(t, "shop", "p", 2, `{to: [{service: {name: gone, port: http}}, {host: a.example}]}`)
			src.InForce = tc.inForce
			x.setPolicy("p", src)
			x.setPod(testPod("shop", "a", "node-1", "a"))
			x.flush(out)
			var got []string
			for _, p := range out.Profiles {
				for i := range p.Bindings {
					got = append(got, p.Bindings[i].To.String())
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			v, _ := x.view(src.ID)
			if len(v.problems) != 1 || v.acting != int64(2*len(tc.want)) {
				t.Errorf("problems %v, generation %d acts", v.problems, v.acting)
			}
			for _, d := range v.destinations {
				if e, _ := enforcement(&v, d.Index); e != v1alpha1.EnforcementPartial { // it is called on 443 too
					t.Errorf("%s is enforced: %s", d.Label, e)
				}
			}
		})
	}
}

func TestLastGoodVersionStaysWhileTheServiceIsGone(t *testing.T) {
	w, x, out := populate(t, 1, 1)
	delete(w.services, "ns-0/api")
	x.serviceChanged("ns-0/api")
	x.flush(out)
	v, _ := x.view(policy.ParseID("ns-0/p"))
	if len(v.problems) != 1 || !v.inForce || len(out.Workloads) != 1 || len(out.Profiles) != 1 || len(out.Destinations) != 0 {
		t.Errorf("problems %v, in force %v, published %+v", v.problems, v.inForce, out)
	}
	w.services["ns-0/api"] = service{port: 8080, endpoints: 1}
	x.serviceChanged("ns-0/api")
	x.flush(out)
	if v, _ := x.view(policy.ParseID("ns-0/p")); v.problems != nil || len(out.Destinations) != 1 {
		t.Errorf("problems %v, destinations %v", v.problems, out.Destinations)
	}
}

func TestForgetsEverything(t *testing.T) {
	w, x, out := populate(t, 3, 2)
	x.setPolicy("c", clusterPolicy(t, "c", 1, `{to: [{service: {name: api}}], defaults: {retry: {maxRetries: 1}}}`))
	x.flush(out)
	x.deletePolicy(policy.ParseID("c"))
	for id := range w.policies {
		x.deletePolicy(id)
	}
	for _, p := range w.pods {
		x.deletePod(p.Namespace, p.Name)
	}
	for ns := range w.namespaces {
		x.deleteNamespace(ns)
	}
	x.flush(out)
	if n := len(x.namespaces) + len(x.policies) + len(x.cluster) + len(x.services) + len(x.profiles); n != 0 {
		t.Errorf("%d things are left: %v %v %v", n, x.namespaces, x.services, x.profiles)
	}
	if diff := cmp.Diff(newPublished(), out); diff != "" {
		t.Error(diff)
	}
}

func TestNamespacesWhoseCallsAreNeverGovernedAreNotMatched(t *testing.T) {
	x, out := newIndex(newWorld(), "fairlead-system"), newPublished()
	for _, name := range []string{"fairlead-system", "shop"} {
		x.setNamespace(name, labels.Set{})
	}
	src := clusterPolicy(t, "c", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`)
	x.setPolicy("c", src)
	x.setPod(testPod("fairlead-system", "agent", "node-1", "a"))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.flush(out)
	x.published(1)
	if v, _ := x.view(src.ID); v.namespaces != 1 || v.pods != 1 {
		t.Errorf("matches %d namespaces and %d pods, want 1 and 1", v.namespaces, v.pods)
	}
}

func TestTheEndOfAPolicyIsAlwaysTold(t *testing.T) {
	for name, spec := range map[string]string{
		"in force":     `{to: [{any: {}}]}`,
		"not accepted": `{to: [{service: {name: nowhere}}]}`,
		"disabled":     `{to: [{any: {}}], mode: Disabled}`,
	} {
		x := newIndex(newWorld(), "fairlead-system")
		src := retryPolicy(t, "shop", "p", 1, spec)
		x.setPolicy("p", src)
		x.flush(newPublished())
		x.deletePolicy(src.ID)
		if dirty := x.flush(newPublished()); len(dirty) != 1 || dirty[0] != src.ID {
			t.Errorf("%s: told to look at %v", name, dirty)
		}
	}
}

// A policy governs the pods that it selects, in the namespaces that it selects, and no others.
//
//enforces:agent podSelector namespaceSelector
func TestPoliciesGovernWhatTheySelect(t *testing.T) {
	x, out := newIndex(newWorld(), "fairlead-system"), newPublished()
	for _, ns := range []string{"shop", "depot"} {
		x.setNamespace(ns, labels.Set{"name": ns})
		for _, app := range []string{"a", "b"} {
			x.setPod(testPod(ns, app, "node-1", app))
		}
	}
	x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
	x.setPolicy("c", clusterPolicy(t, "c", 1, `{namespaceSelector: {matchLabels: {name: depot}}, to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
	x.flush(out)
	got := map[string]string{}
	for _, pod := range out.Workloads {
		for _, b := range out.Profiles[pod.Profile].Bindings {
			got[pod.Namespace+"/"+pod.Name] += b.Policy.String()
		}
	}
	want := map[string]string{"shop/a": "shop/p", "depot/a": "c", "depot/b": "c"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
