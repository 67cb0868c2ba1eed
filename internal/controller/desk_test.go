package controller

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// fakeCache lists one namespace, one policy and its pods.
type fakeCache struct {
	client.Reader
	pods []corev1.Pod
	err  error
}

func (c *fakeCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch l := list.(type) {
	case *corev1.NamespaceList:
		l.Items = make([]corev1.Namespace, 1)
		l.Items[0].Name = "shop"
	case *corev1.PodList:
		l.Items = c.pods
	case *v1alpha1.RetryPolicyList:
		l.Items = make([]v1alpha1.RetryPolicy, 1)
		p := &l.Items[0]
		p.Namespace, p.Name, p.UID, p.Generation = "shop", "p", "p", 1
		p.Spec.To = []v1alpha1.Destination{{Any: &v1alpha1.AnyDestination{}}}
	}
	return c.err
}

func newDesk(c *fakeCache) (*desk, *distribute.Store) {
	store := distribute.NewStore(distribute.StoreOptions{})
	return &desk{
		reader: c, index: newIndex(newWorld(), "fairlead-system"), agents: store, statuses: func([]policy.ID) {},
		logger: slog.New(slog.DiscardHandler),
	}, store
}

func runningPod(name string) corev1.Pod {
	p := corev1.Pod{}
	p.Namespace, p.Name, p.UID, p.Spec.NodeName = "shop", name, "uid", "node-1"
	return p
}

// A controller that starts hears of what is there and of what goes away from then on. What went away before it started must not have been
// read already, or it would be kept for ever.
func TestTheDeskReadsNothingBeforeItHearsOfChanges(t *testing.T) {
	c := &fakeCache{pods: []corev1.Pod{runningPod("gone")}}
	d, store := newDesk(c)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := d.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c.pods = nil
	if _, err := d.Reconcile(t.Context(), fact{kind: namespaceFact, name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if n := store.Size().Workloads; n != 0 {
		t.Errorf("%d pods that are no more are governed", n)
	}
}

func TestNothingIsPublishedUntilEverythingWasRead(t *testing.T) {
	c := &fakeCache{pods: []corev1.Pod{runningPod("a")}, err: errors.New("not now")}
	d, store := newDesk(c)
	for want := range 2 {
		if _, err := d.Reconcile(t.Context(), fact{kind: namespaceFact, name: "shop"}); !errors.Is(err, c.err) {
			t.Fatalf("error %v, want %v", err, c.err)
		}
		if n := store.Size().Workloads; n != want {
			t.Errorf("%d pods governed, want %d", n, want)
		}
		c.err = nil
	}
}
