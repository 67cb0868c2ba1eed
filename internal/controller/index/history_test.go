package index_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// TestAnyHistoryEndsInTheSameState makes random changes one by one and compares with what follows from the outcome from scratch.
func TestAnyHistoryEndsInTheSameState(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := indextest.NewWorld()
			for _, name := range []string{"n0/s0", "n0/s1", "n1/s0"} {
				w.Services[name] = indextest.Service{Port: 80}
			}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			for step := range 100 {
				randomChange(t, rng, w, x, int64(step+1))()
				if rng.IntN(3) > 0 {
					indextest.Publish(x, out)
				}
				checkViews(t, x)
			}
			indextest.Publish(x, out)
			if diff := cmp.Diff(w.Expected(), out, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
			if d := out.Dangling(w); d != nil {
				t.Errorf("dangling %v", d)
			}
		})
	}
}

// checkViews compares what the index remembers of its policies with what it works out anew.
func checkViews(t *testing.T, x *index.Index) {
	t.Helper()
	for _, id := range x.PolicyIDs() {
		kept, _ := x.View(id)
		x.ForgetDerived(id, true)
		if anew, _ := x.View(id); !reflect.DeepEqual(anew, kept) {
			t.Fatalf("%s: remembered %+v, want %+v", id, kept, anew)
		}
	}
}

// randomChange changes the world and returns what has x know. Its policies never conflict and their Services never go, since what happens
// then depends on history by design: the last good version stays.
func randomChange(t *testing.T, rng *rand.Rand, w *indextest.World, x *index.Index, generation int64) (set func()) {
	ns := fmt.Sprintf("n%d", rng.IntN(2))
	switch rng.IntN(7) {
	case 0:
		return randomNamespace(rng, w, x, ns)
	case 1, 2:
		return randomPod(rng, w, x, ns)
	case 3:
		name := pick(rng, "n0/s0", "n0/s1", "n1/s0")
		w.Services[name] = indextest.Service{Port: uint16(80), Endpoints: rng.IntN(3), Affinity: rng.IntN(3) == 0}
		return func() { x.ServiceChanged(name) }
	case 4:
		node := fmt.Sprintf("node-%d", rng.IntN(3))
		w.Zones[node] = pick(rng, "", "a", "b")
		return func() { x.NodeChanged(node) }
	}
	src := randomPolicy(t, rng, ns, generation)
	if rng.IntN(4) == 0 {
		delete(w.Policies, src.ID)
		return func() { x.DeletePolicy(src.ID) }
	}
	uid := types.UID(fmt.Sprintf("%s-%d", src.ID, rng.IntN(2)))
	w.Policies[src.ID] = indextest.Policy{UID: uid, Source: src}
	return func() { x.SetPolicy(uid, src) }
}

func pick(rng *rand.Rand, options ...string) string { return options[rng.IntN(len(options))] }

func randomNamespace(rng *rand.Rand, w *indextest.World, x *index.Index, ns string) (set func()) {
	l := labels.Set{"team": pick(rng, "x", "y")}
	if rng.IntN(8) == 0 {
		delete(w.Namespaces, ns)
		return func() { x.DeleteNamespace(ns) }
	}
	w.Namespaces[ns] = l
	return func() { x.SetNamespace(ns, l) }
}

func randomPod(rng *rand.Rand, w *indextest.World, x *index.Index, ns string) (set func()) {
	name := fmt.Sprintf("pod-%d", rng.IntN(6))
	if rng.IntN(3) == 0 {
		delete(w.Pods, ns+"/"+name)
		return func() { x.DeletePod(ns, name) }
	}
	p := indextest.RunningPod(ns, name, fmt.Sprintf("node-%d", rng.IntN(3)), pick(rng, "a", "b"))
	p.UID = types.UID(fmt.Sprintf("%s-%s-%d", ns, name, rng.IntN(2)))
	p.HostNetwork = rng.IntN(6) == 0
	if rng.IntN(2) == 0 {
		p.Owner = &policy.Owner{Kind: "Deployment", Name: pick(rng, "a", "b")}
	}
	w.Pods[ns+"/"+name] = p
	return func() { x.SetPod(p) }
}

func randomPolicy(t *testing.T, rng *rand.Rand, ns string, generation int64) compile.Source {
	n := rng.IntN(3)
	if rng.IntN(3) == 0 {
		return indextest.ClusterPolicy(t, fmt.Sprintf("c%d", n), generation, fmt.Sprintf(
			`{namespaceSelector: {matchLabels: {team: %s}}, to: [{cidr: {block: 10.%d.0.0/16}}, {service: {name: s%d}}], %s: {retry: {maxRetries: %d}}}`,
			pick(rng, "x", "y"), n, n, pick(rng, "defaults", "overrides"), rng.IntN(5)))
	}
	target := fmt.Sprintf(`{host: h%d.example}`, n)
	if n == 0 {
		target += ", {service: {name: s0, port: 80}}"
	}
	return indextest.RetryPolicy(t, ns, fmt.Sprintf("p%d", n), generation, fmt.Sprintf(
		`{mode: %s, podSelector: {matchLabels: {app: %s}}, to: [%s], retry: {maxRetries: %d}}`,
		pick(rng, "Enforce", "Enforce", "Disabled", "DryRun"), pick(rng, "a", "b"), target, rng.IntN(5)))
}

// TestConcurrentChangesEndInTheSameState makes random changes while others compile and publish. Whatever is published refers to nothing that
// is not, at any time; and the end is what follows from the outcome from scratch.
func TestConcurrentChangesEndInTheSameState(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 2))
			w := indextest.NewWorld()
			for _, name := range []string{"n0/s0", "n0/s1", "n1/s0"} {
				w.Services[name] = indextest.Service{Port: 80}
			}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			published := make(chan struct{})
			stop := make(chan struct{})
			go func() {
				defer close(published)
				for revision := uint64(1); ; revision++ {
					publishConcurrently(t, w, x, out)
					x.Published(revision)
					select {
					case <-stop:
						return
					default:
					}
				}
			}()
			for step := range 200 {
				w.Lock()
				set := randomChange(t, rng, w, x, int64(step+1))
				w.Unlock()
				set()
				x.View(policy.ParseID("n0/p0"))
				if rng.IntN(4) == 0 {
					runtime.Gosched()
				}
			}
			close(stop)
			<-published
			for range 2 { // what was dropped is compiled the next time
				publishConcurrently(t, w, x, out)
			}
			if diff := cmp.Diff(w.Expected(), out, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// publishConcurrently compiles and publishes as a compiler does: what is urgent first and between the halves of the rest, each job in a
// goroutine of its own.
func publishConcurrently(t *testing.T, w *indextest.World, x *index.Index, out *indextest.Published) {
	check := func(c *index.Changes) {
		c.SendTo(out)
		w.Lock()
		defer w.Unlock()
		if d := out.Dangling(w); d != nil {
			t.Errorf("dangling %v", d)
		}
	}
	jobs := x.Take()
	half := len(jobs) / 2
	for _, part := range [][]*index.Job{jobs[:half], jobs[half:]} {
		compileConcurrently(part)
		urgent := x.TakeUrgent()
		compileConcurrently(urgent)
		check(x.PublishUrgent(urgent))
	}
	changes, _ := x.Publish(jobs)
	check(changes)
}

func compileConcurrently(jobs []*index.Job) {
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(j.Compile)
	}
	wg.Wait()
}
