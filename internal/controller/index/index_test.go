package index_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

func TestWorkIsProportionalToWhatAChangeAffects(t *testing.T) {
	w, x, out := populate(t, 100, 10)
	if x.Compilations() != 100 || len(out.Workloads) != 1000 || len(out.Destinations) != 100 {
		t.Fatalf("%d profiles compiled, %d workloads, %d destinations", x.Compilations(), len(out.Workloads), len(out.Destinations))
	}
	edit := func(spec string, generation int64) func() {
		return func() { x.SetPolicy("p-ns-7", indextest.RetryPolicy(t, "ns-7", "p", generation, spec)) }
	}
	tests := []struct {
		name     string
		change   func()
		compiles int
		dirty    []string
	}{
		{"nothing", func() {}, 0, nil},
		{"a pod that is as before", func() { x.SetPod(indextest.RunningPod("ns-7", "pod-1", "node-1", "a")) }, 0, nil},
		{"one more pod of a known kind on a known node", func() { x.SetPod(indextest.RunningPod("ns-7", "new", "node-1", "a")) }, 0, []string{"ns-7/p"}},
		{"a pod that nothing selects", func() { x.SetPod(indextest.RunningPod("ns-7", "other", "node-1", "b")) }, 0, nil},
		{"endpoints of one Service", func() {
			w.Services["ns-7/api"] = indextest.Service{Port: 80, Endpoints: 2}
			x.ServiceChanged("ns-7/api")
		}, 0, []string{"ns-7/p"}},
		{"a Service that nobody names", func() { x.ServiceChanged("ns-7/else") }, 0, nil},
		{"what one policy says", edit(`{podSelector: {matchLabels: {app: a}}, to: [{service: {name: api}}], retry: {maxRetries: 1}}`, 2), 1, []string{"ns-7/p"}},
		{"whom one policy selects", edit(`{podSelector: {matchLabels: {app: b}}, to: [{service: {name: api}}]}`, 3), 1, []string{"ns-7/p"}},
		{"a second policy in a namespace", func() {
			x.SetPolicy("q", indextest.RetryPolicy(t, "ns-8", "q", 1, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
		}, 1, []string{"ns-8/p", "ns-8/q"}},
		{"a cluster policy for one namespace", func() {
			x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{namespaceSelector: {matchLabels: {name: ns-9}}, to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
		}, 1, []string{"c", "ns-9/p"}},
		{"the labels of a namespace", func() { x.SetNamespace("ns-10", labels.Set{"name": "ns-9"}) }, 1, []string{"c", "ns-10/p"}},
	}
	for _, tc := range tests {
		before := x.Compilations()
		tc.change()
		dirty := indextest.Publish(x, out)
		if got := x.Compilations() - before; got != tc.compiles {
			t.Errorf("%s: %d profiles compiled, want %d", tc.name, got, tc.compiles)
		}
		if diff := cmp.Diff(tc.dirty, sortedNames(dirty)); diff != "" && len(tc.dirty)+len(dirty) > 0 {
			t.Errorf("%s: changed statuses: %s", tc.name, diff)
		}
		if d := out.Dangling(w); d != nil {
			t.Errorf("%s: dangling %v", tc.name, d)
		}
	}
}

func TestRule37_HostNetworkPodsAreCountedAndNotGoverned(t *testing.T) {
	w, x, out := populate(t, 1, 3)
	host := indextest.RunningPod("ns-0", "host", "node-0", "a")
	host.HostNetwork = true
	x.SetPod(host)
	ended := indextest.RunningPod("ns-0", "pod-2", "node-2", "a")
	ended.Running = false
	x.SetPod(ended)
	indextest.Publish(x, out)
	v, _ := x.View(policy.ParseID("ns-0/p"))
	if v.Pods != 2 || v.HostNetworkPods != 1 || len(out.Workloads) != 2 {
		t.Errorf("%d pods, %d on the host's network, %d workloads", v.Pods, v.HostNetworkPods, len(out.Workloads))
	}
	for name := range w.Pods {
		x.DeletePod("ns-0", name[len("ns-0/"):])
	}
	x.DeletePod("ns-0", "host")
	indextest.Publish(x, out)
	if v, _ := x.View(policy.ParseID("ns-0/p")); v.Pods != 0 || v.HostNetworkPods != 0 || len(v.Profiles) != 0 {
		t.Errorf("after all pods went: %+v", v)
	}
	if diff := cmp.Diff(indextest.NewPublished(), out); diff != "" {
		t.Error(diff)
	}
}

func TestPodsOfTheManagersOwnNamespaceAreNeverGoverned(t *testing.T) {
	x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
	x.SetNamespace("fairlead-system", nil)
	x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
	x.SetPod(indextest.RunningPod("fairlead-system", "agent", "node-1", "agent"))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	x.SetNamespace("shop", nil)
	indextest.Publish(x, out)
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
			x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
			src := indextest.RetryPolicy(t, "shop", "p", 2, `{to: [{service: {name: gone, port: http}}, {host: a.example}]}`)
			src.InForce = tc.inForce
			x.SetPolicy("p", src)
			x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
			indextest.Publish(x, out)
			var got []string
			for _, p := range out.Profiles {
				for i := range p.Bindings {
					got = append(got, p.Bindings[i].To.String())
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			v, _ := x.View(src.ID)
			if len(v.Problems) != 1 || v.ActingGeneration != int64(2*len(tc.want)) {
				t.Errorf("problems %v, generation %d acts", v.Problems, v.ActingGeneration)
			}
		})
	}
}

func TestLastGoodVersionStaysWhileTheServiceIsGone(t *testing.T) {
	w, x, out := populate(t, 1, 1)
	delete(w.Services, "ns-0/api")
	x.ServiceChanged("ns-0/api")
	indextest.Publish(x, out)
	v, _ := x.View(policy.ParseID("ns-0/p"))
	if len(v.Problems) != 1 || !v.InForce || len(out.Workloads) != 1 || len(out.Profiles) != 1 || len(out.Destinations) != 0 {
		t.Errorf("problems %v, in force %v, published %+v", v.Problems, v.InForce, out)
	}
	w.Services["ns-0/api"] = indextest.Service{Port: 8080, Endpoints: 1}
	x.ServiceChanged("ns-0/api")
	indextest.Publish(x, out)
	if v, _ := x.View(policy.ParseID("ns-0/p")); v.Problems != nil || len(out.Destinations) != 1 {
		t.Errorf("problems %v, destinations %v", v.Problems, out.Destinations)
	}
}

func TestForgetsEverything(t *testing.T) {
	w, x, out := populate(t, 3, 2)
	x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{service: {name: api}}], defaults: {retry: {maxRetries: 1}}}`))
	indextest.Publish(x, out)
	x.DeletePolicy(policy.ParseID("c"))
	for id := range w.Policies {
		x.DeletePolicy(id)
	}
	for _, p := range w.Pods {
		x.DeletePod(p.Namespace, p.Name)
	}
	for ns := range w.Namespaces {
		x.DeleteNamespace(ns)
	}
	indextest.Publish(x, out)
	x.Published(1)
	if n := x.Remembered(); n != 0 {
		t.Errorf("%d things are left", n)
	}
	if diff := cmp.Diff(indextest.NewPublished(), out); diff != "" {
		t.Error(diff)
	}
}

func TestNamespacesWhoseCallsAreNeverGovernedAreNotMatched(t *testing.T) {
	x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
	for _, name := range []string{"fairlead-system", "shop"} {
		x.SetNamespace(name, labels.Set{})
	}
	src := indextest.ClusterPolicy(t, "c", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`)
	x.SetPolicy("c", src)
	x.SetPod(indextest.RunningPod("fairlead-system", "agent", "node-1", "a"))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	indextest.Publish(x, out)
	x.Published(1)
	if v, _ := x.View(src.ID); v.Namespaces != 1 || v.Pods != 1 {
		t.Errorf("matches %d namespaces and %d pods, want 1 and 1", v.Namespaces, v.Pods)
	}
}

func TestTheEndOfAPolicyIsAlwaysReported(t *testing.T) {
	for name, spec := range map[string]string{
		"in force":     `{to: [{any: {}}]}`,
		"not accepted": `{to: [{service: {name: nowhere}}]}`,
		"disabled":     `{to: [{any: {}}], mode: Disabled}`,
	} {
		x := index.New(indextest.NewWorld(), indextest.Exempt)
		src := indextest.RetryPolicy(t, "shop", "p", 1, spec)
		x.SetPolicy("p", src)
		indextest.Publish(x, indextest.NewPublished())
		x.DeletePolicy(src.ID)
		if dirty := indextest.Publish(x, indextest.NewPublished()); len(dirty) != 1 || dirty[0] != src.ID {
			t.Errorf("%s: changed statuses %v", name, dirty)
		}
	}
}

// A policy governs the pods that it selects, in the namespaces that it selects, and no others.
//
//enforces:agent podSelector namespaceSelector
func TestPoliciesGovernWhatTheySelect(t *testing.T) {
	x, out := index.New(indextest.NewWorld(), indextest.Exempt), indextest.NewPublished()
	for _, ns := range []string{"shop", "depot"} {
		x.SetNamespace(ns, labels.Set{"name": ns})
		for _, app := range []string{"a", "b"} {
			x.SetPod(indextest.RunningPod(ns, app, "node-1", app))
		}
	}
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
	x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{namespaceSelector: {matchLabels: {name: depot}}, to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
	indextest.Publish(x, out)
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
