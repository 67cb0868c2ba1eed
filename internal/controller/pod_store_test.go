package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"fairlead.dev/fairlead/internal/controller/index"
)

// filledPods returns a store that holds pods, and the names it gives from then on.
func filledPods(t *testing.T, pods ...*corev1.Pod) (*podStore, func() []string) {
	t.Helper()
	s := newPodStore()
	var named []string
	s.onChange(func(k objectKey) {
		if k.kind != kindPod {
			t.Errorf("kind %d", k.kind)
		}
		named = append(named, k.namespace+"/"+k.name)
	})
	replacePods(t, s, pods...)
	return s, func() []string {
		out := named
		named = nil
		slices.Sort(out)
		return out
	}
}

// replacePods does what a reflector does that has collected pods.
func replacePods(t *testing.T, s *podStore, pods ...*corev1.Pod) {
	t.Helper()
	list := make([]any, len(pods))
	for i, p := range pods {
		kept, err := s.Transformer()(p)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = kept
	}
	if err := s.Replace(list, "1"); err != nil {
		t.Fatal(err)
	}
}

func podNamed(name, app, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": app, "tier": "web"}},
		Spec:       corev1.PodSpec{NodeName: node},
	}
}

// ownedBy has a StatefulSet have made p.
func ownedBy(name string, p *corev1.Pod) *corev1.Pod {
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "StatefulSet", Name: name, Controller: new(true)}}
	return p
}

func TestPodsThatChangeAreNamed(t *testing.T) {
	s, named := filledPods(t, podNamed("a", "cart", "n1"), podNamed("b", "cart", "n1"), podNamed("c", "stock", "n2"))
	ended, hostNetwork, other := podNamed("a", "cart", "n1"), podNamed("b", "cart", "n1"), podNamed("c", "stock", "n2")
	ended.Status.Phase, hostNetwork.Spec.HostNetwork, other.UID = corev1.PodSucceeded, true, "another"
	same := podNamed("a", "cart", "n1")
	same.Status.PodIP, same.Annotations = "10.0.0.1", map[string]string{"not": "read"}
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"at first none", func() error { return nil }, nil},
		{"what is not read does not count", func() error { return s.Update(same) }, nil},
		{"a new one", func() error { return s.Add(podNamed("d", "cart", "")) }, []string{"shop/d"}},
		{"on a node", func() error { return s.Update(podNamed("d", "cart", "n3")) }, []string{"shop/d"}},
		{"other labels", func() error { return s.Update(podNamed("d", "stock", "n3")) }, []string{"shop/d"}},
		{"adopted", func() error { return s.Update(ownedBy("stock", podNamed("d", "stock", "n3"))) }, []string{"shop/d"}},
		{"of the same owner", func() error { return s.Update(ownedBy("stock", podNamed("d", "stock", "n3"))) }, nil},
		{"ended", func() error { return s.Update(ended) }, []string{"shop/a"}},
		{"in the node's network", func() error { return s.Update(hostNetwork) }, []string{"shop/b"}},
		{"made anew", func() error { return s.Update(other) }, []string{"shop/c"}},
		{"gone", func() error { return s.Delete(other) }, []string{"shop/c"}},
		{"gone already", func() error { return s.Delete(other) }, nil},
		{"another list", func() error {
			replacePods(t, s, ownedBy("stock", podNamed("d", "stock", "n3")), podNamed("e", "stock", "n3"))
			return nil
		}, []string{"shop/a", "shop/b", "shop/e"}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, named()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if err := s.Add(&corev1.Node{}); err == nil {
		t.Error("a node is a pod")
	}
}

// The store holds what was in the cluster last, shares labels and owners that are equal, and keeps none that no pod has.
func TestPodsShareTheirLabelsAndOwners(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	s, _ := filledPods(t)
	want := map[string]*corev1.Pod{}
	for range 5000 {
		name := fmt.Sprint("p", random.IntN(30))
		p := ownedBy(fmt.Sprint("set-", random.IntN(2)), podNamed(name, fmt.Sprint("app-", random.IntN(4)), fmt.Sprint("n", random.IntN(3))))
		var err error
		switch random.IntN(12) {
		case 0:
			for _, p := range want {
				if _, err := s.Transformer()(podNamed(p.Name, "of a list that was given up", "n")); err != nil {
					t.Fatal(err)
				}
			}
			maps.DeleteFunc(want, func(string, *corev1.Pod) bool { return random.IntN(2) == 0 })
			replacePods(t, s, slices.Collect(maps.Values(want))...)
		case 1, 2, 3:
			delete(want, name)
			err = s.Delete(p)
		default:
			want[name] = p
			err = s.Update(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		checkPods(t, s, want)
	}
}

func checkPods(t *testing.T, s *podStore, want map[string]*corev1.Pod) {
	t.Helper()
	got, sharing, kinds := map[string]index.Pod{}, map[string]int{}, map[string]struct{}{}
	s.each(func(p index.Pod) { got[p.Name] = p })
	for name, p := range want {
		if diff := cmp.Diff(podOf(p), got[name]); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", name, diff)
		}
		sharing[fmt.Sprintf("%p %p", got[name].Labels, got[name].Owner)]++
		kinds[p.Labels["app"]+" of "+p.OwnerReferences[0].Name] = struct{}{}
	}
	if len(got) != len(want) || len(s.shared) != len(kinds) || len(sharing) != len(kinds) {
		t.Fatalf("%d pods of %d that share %d things, of which %d are kept, want %d", len(got), len(want), len(sharing), len(s.shared), len(kinds))
	}
}

func TestTheStoreOfPodsIsFullAfterTheFirstList(t *testing.T) {
	s := newPodStore()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[objectKey]())
	defer queue.ShutDown()
	changes := podChanges{s}
	if err := changes.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := changes.WaitForSync(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("before the first list: %v", err)
	}
	replacePods(t, s, podNamed("a", "cart", "n1"))
	if err := changes.WaitForSync(t.Context()); err != nil || queue.Len() != 0 {
		t.Errorf("after it: %v, and %d pods named", err, queue.Len())
	}
	if err := s.Update(podNamed("a", "cart", "n2")); err != nil || queue.Len() != 1 {
		t.Errorf("after a change: %v, and %d pods named", err, queue.Len())
	}
	if p, there := s.get("shop", "a"); !there || p.Node != "n2" {
		t.Errorf("%+v", p)
	}
	if _, there := s.get("shop", "b"); there {
		t.Error("a pod that is not there")
	}
}
