package controller

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// fakeCache lists one namespace and one policy; its pods are in a store.
type fakeCache struct {
	client.Reader
	pods *podStore
	err  error
}

func (c *fakeCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch l := list.(type) {
	case *corev1.NamespaceList:
		l.Items = make([]corev1.Namespace, 1)
		l.Items[0].Name = "shop"
	case *v1alpha1.RetryPolicyList:
		l.Items = make([]v1alpha1.RetryPolicy, 1)
		p := &l.Items[0]
		p.Namespace, p.Name, p.UID, p.Generation = "shop", "p", "p", 1
		p.Spec.To = []v1alpha1.Destination{{Any: &v1alpha1.AnyDestination{}}}
	}
	return c.err
}

// readAndCompile is an objectReconciler and its compiler.
type readAndCompile struct {
	*objectReconciler
	*compiler
	store *distribute.Store
}

func newReadAndCompile(c *fakeCache) readAndCompile {
	store := distribute.NewStore(distribute.StoreOptions{})
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	compiler := newCompiler(x, store, func([]policy.ID) {}, slog.New(slog.DiscardHandler))
	objects := &objectReconciler{
		reader: c, pods: c.pods, index: x, changed: compiler.changed, references: &fakeReferences{}, waiting: map[objectKey]map[objectKey]struct{}{}, namespaceChanged: func() {},
	}
	return readAndCompile{objects, compiler, store}
}

// fakeReferences has read everything but what it says it has not.
type fakeReferences struct {
	unread map[compile.Reference]bool
	waited [][]compile.Reference
}

func (f *fakeReferences) Require(refs []compile.Reference) (unread []compile.Reference) {
	for _, r := range refs {
		if f.unread[r] {
			unread = append(unread, r)
		}
	}
	return unread
}

func (f *fakeReferences) Wait(_ context.Context, refs []compile.Reference) {
	f.waited = append(f.waited, refs)
}

// Watches report what is there when they start, and what is deleted from then on. What was deleted before that must not have been read
// already, or it would be kept for ever.
func TestNothingIsReadBeforeChangesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := podNamed("gone", "cart", "node-1")
		pods, _ := filledPods(t, gone)
		c := &fakeCache{pods: pods}
		r := newReadAndCompile(c)
		stop := r.run(t)
		defer stop()
		if err := pods.Delete(gone); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reconcile(t.Context(), objectKey{kind: kindNamespace, name: "shop"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := r.store.Size().Workloads; n != 0 {
			t.Errorf("%d pods that are no more are governed", n)
		}
	})
}

func TestNothingIsPublishedUntilEverythingWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pods, _ := filledPods(t, podNamed("a", "cart", "node-1"))
		c := &fakeCache{pods: pods, err: errors.New("not now")}
		r := newReadAndCompile(c)
		stop := r.run(t)
		defer stop()
		for want := range 2 {
			if _, err := r.Reconcile(t.Context(), objectKey{kind: kindNamespace, name: "shop"}); !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			synctest.Wait()
			if n := r.store.Size().Workloads; n != want {
				t.Errorf("%d pods governed, want %d", n, want)
			}
			c.err = nil
		}
	})
}

// run starts the compiler and returns what stops it.
func (r readAndCompile) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Start(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
