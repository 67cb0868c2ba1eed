package index_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

func compileAll(jobs []*index.Job) []*index.Job {
	for _, j := range jobs {
		j.Compile()
	}
	return jobs
}

func retriesOf(out *indextest.Published, profile string) int {
	return out.Profiles[profile].Bindings[0].Base.Retry.MaxRetries
}

// A pod that starts waits for its own profile, and not for the backlog of a change of all.
func TestPodsThatStartComeFirst(t *testing.T) {
	_, x, out := populate(t, 50, 1)
	x.Published(1)
	x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
	backlog := x.Take()
	if len(backlog) != 50 {
		t.Fatalf("%d profiles to compile, want 50", len(backlog))
	}
	x.SetPod(indextest.RunningPod("ns-7", "new", "node-1", "b"))
	x.SetPod(indextest.RunningPod("ns-8", "other", "node-1", "a")) // its profile is in the backlog too
	urgent := compileAll(x.TakeUrgent())
	x.PublishUrgent(urgent).SendTo(out)
	if len(urgent) != 2 || out.Workloads["ns-7-new"].Profile != "c" || out.Workloads["ns-8-other"].Profile != "c+ns-8/p" {
		t.Errorf("%d profiles are urgent, published %v and %v", len(urgent), out.Workloads["ns-7-new"], out.Workloads["ns-8-other"])
	}
	if got := out.Workloads["ns-9-pod-0"].Profile; got != "ns-9/p" {
		t.Errorf("a pod of the backlog has %s before the backlog is published", got)
	}
	before := x.Compilations()
	changes, statuses := x.Publish(compileAll(backlog))
	changes.SendTo(out)
	if n := x.Compilations() - before; n != 49 { // that of ns-8 was published already
		t.Errorf("%d profiles of the backlog published, want 49", n)
	}
	if got := out.Workloads["ns-9-pod-0"].Profile; got != "c+ns-9/p" || !slices.Contains(statuses, policy.ParseID("c")) {
		t.Errorf("a pod of the backlog has %s in the end, statuses %v", got, statuses)
	}
}

// A profile that was changed while it was compiled is compiled again, before others; until then it stays as it was, and the policy is not
// said to be published.
func TestAProfileThatChangesWhileItIsCompiledIsCompiledAgain(t *testing.T) {
	_, x, out := populate(t, 2, 1)
	x.Published(1)
	set := func(namespace string, generation int64) policy.ID {
		src := indextest.RetryPolicy(t, namespace, "p", generation, fmt.Sprintf(
			`{podSelector: {matchLabels: {app: a}}, to: [{service: {name: api}}], retry: {maxRetries: %d}}`, generation))
		x.SetPolicy(types.UID("p-"+namespace), src)
		return src.ID
	}
	id, other := set("ns-0", 5), set("ns-1", 6)
	jobs := compileAll(x.Take())
	set("ns-0", 7)
	changes, statuses := x.Publish(jobs)
	changes.SendTo(out)
	x.Published(2)
	if got := []int{retriesOf(out, "ns-0/p"), retriesOf(out, "ns-1/p")}; !slices.Equal(got, []int{2, 6}) || !slices.Equal(statuses, []policy.ID{other}) {
		t.Errorf("published %v, statuses %v", got, statuses)
	}
	if v, _ := x.View(id); !v.Unpublished || v.PublishedRevision != 1 {
		t.Errorf("unpublished %v, published with %d", v.Unpublished, v.PublishedRevision)
	}
	urgent := compileAll(x.TakeUrgent())
	x.PublishUrgent(urgent).SendTo(out)
	if len(urgent) != 1 || retriesOf(out, "ns-0/p") != 7 {
		t.Errorf("%d profiles are urgent, published %d", len(urgent), retriesOf(out, "ns-0/p"))
	}
	if _, statuses = x.Publish(nil); !slices.Equal(statuses, []policy.ID{id}) {
		t.Errorf("statuses %v", statuses)
	}
	x.Published(3)
	if v, _ := x.View(id); v.Unpublished || v.PublishedRevision != 3 {
		t.Errorf("unpublished %v, published with %d", v.Unpublished, v.PublishedRevision)
	}
}

// A policy waits for its own change, and for no other's that concerns the same pods: there may always be one.
func TestAPolicyDoesNotWaitForTheChangesOfOthers(t *testing.T) {
	_, x, out := populate(t, 2, 1)
	x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`))
	jobs := compileAll(x.Take())
	x.SetPolicy("p-ns-0", indextest.RetryPolicy(t, "ns-0", "p", 9, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
	_, statuses := x.Publish(jobs)
	if slices.Contains(statuses, policy.ParseID("c")) {
		t.Errorf("a profile that the policy adds is not compiled, statuses %v", statuses)
	}
	indextest.Publish(x, out)
	x.SetPolicy("p-ns-0", indextest.RetryPolicy(t, "ns-0", "p", 10, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
	x.SetPod(indextest.RunningPod("ns-1", "new", "node-9", "a"))
	_, statuses = x.Publish(nil)
	if !slices.Contains(statuses, policy.ParseID("c")) || slices.Contains(statuses, policy.ParseID("ns-0/p")) {
		t.Errorf("statuses %v, want c and not ns-0/p, of which a change is not compiled", statuses)
	}
}

// A pod that leaves a profile for one that is not compiled yet keeps the old one, which is not removed before.
func TestAPodKeepsItsProfileUntilTheNextOneIsCompiled(t *testing.T) {
	w, x, out := populate(t, 1, 1)
	x.SetPolicy("q", indextest.RetryPolicy(t, "ns-0", "q", 1, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}]}`))
	changes, _ := x.Publish(nil)
	changes.SendTo(out)
	if got := out.Workloads["ns-0-pod-0"].Profile; got != "ns-0/p" || out.Dangling(w) != nil {
		t.Errorf("the pod has %s, dangling %v", got, out.Dangling(w))
	}
	indextest.Publish(x, out)
	if got := out.Workloads["ns-0-pod-0"].Profile; got != "ns-0/p+ns-0/q" || len(out.Profiles) != 1 {
		t.Errorf("the pod has %s of %d profiles", got, len(out.Profiles))
	}
}

// A policy that was deleted and made again has the same profile by name: pods are not given what the former said.
func TestPodsAreNotGivenWhatAFormerPolicySaid(t *testing.T) {
	_, x, out := populate(t, 1, 1)
	x.DeletePolicy(policy.ParseID("ns-0/p"))
	x.SetPolicy("again", indextest.RetryPolicy(t, "ns-0", "p", 1, `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}], retry: {maxRetries: 9}}`))
	x.SetPod(indextest.RunningPod("ns-0", "new", "node-1", "a"))
	changes := x.PublishUrgent(nil)
	changes.SendTo(out)
	if w, there := out.Workloads["ns-0-new"]; there {
		t.Errorf("published %v", w)
	}
	urgent := compileAll(x.TakeUrgent())
	x.PublishUrgent(urgent).SendTo(out)
	if got := out.Workloads["ns-0-new"].Profile; got != "ns-0/p" || retriesOf(out, got) != 9 {
		t.Errorf("the pod has %q", got)
	}
}

// The cache may run ahead of its events: a profile that was compiled with what a Service was is compiled again, also if the Service had
// changed by the time it was published.
func TestAServiceThatChangesWhileAProfileIsCompiledIsFollowed(t *testing.T) {
	for name, set := range map[string]func(x *index.Index){
		"named": func(x *index.Index) {
			x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}], loadBalancing: {policy: Random}}`))
		},
		"the callers' own": func(x *index.Index) {
			x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{service: {name: api}}], defaults: {loadBalancing: {policy: Random}}}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := indextest.NewWorld()
			w.Services["shop/api"] = indextest.Service{Port: 80}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			x.SetNamespace("shop", nil)
			set(x)
			x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
			jobs := compileAll(x.Take())
			w.Services["shop/api"] = indextest.Service{Port: 80, ClusterPicks: v1alpha1.ReasonServiceAffinity}
			changes, _ := x.Publish(jobs)
			changes.SendTo(out)
			x.ServiceChanged("shop/api")
			indextest.Publish(x, out)
			for name, got := range balancing(out) {
				if diff := cmp.Diff([]policy.LoadBalancing{policy.ClusterIP}, got); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}
