package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// annotatedCache has one policy with an annotation.
type annotatedCache struct {
	*fakeCache
	annotations map[string]string
}

func (c *annotatedCache) annotate(p *v1alpha1.RetryPolicy) {
	p.Annotations = c.annotations
}

func (c *annotatedCache) List(ctx context.Context, list client.ObjectList, o ...client.ListOption) error {
	err := c.fakeCache.List(ctx, list, o...)
	if l, ok := list.(*v1alpha1.RetryPolicyList); ok {
		c.annotate(&l.Items[0])
	}
	return err
}

func (c *annotatedCache) Get(ctx context.Context, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if p, ok := obj.(*v1alpha1.RetryPolicy); ok {
		var l v1alpha1.RetryPolicyList
		if err := c.List(ctx, &l); err != nil {
			return err
		}
		l.Items[0].DeepCopyInto(p)
	}
	return nil
}

// What an annotation forces comes into force when it is written, in a policy of which nothing else has changed, and goes when its time is over,
// whether or not anything happens then.
func TestWhatIsForcedComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &annotatedCache{fakeCache: &fakeCache{pods: newPodStore()}}
		r := newReadAndCompile(cache.fakeCache)
		r.objectReconciler.reader = cache
		key := objectKey{kind: kindPolicy, namespace: "shop", name: "p"}
		forced := func(key objectKey) (bool, time.Duration) {
			t.Helper()
			result, err := r.objectReconciler.Reconcile(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			r.objectReconciler.index.ResolveConflicts()
			v, _ := r.objectReconciler.index.View(policy.ParseID("shop/p"))
			return v.Forced.Set(), result.RequeueAfter
		}
		if set, again := forced(objectKey{kind: kindNamespace, name: "shop"}); set || again != 0 {
			t.Fatalf("set %v, again in %s", set, again)
		}
		cache.annotations = map[string]string{v1alpha1.AnnotationCircuitBreaker: "open until " + time.Now().Add(time.Minute).UTC().Format(time.RFC3339)}
		set, again := forced(key)
		if !set || again != time.Minute {
			t.Fatalf("set %v, again in %s", set, again)
		}
		time.Sleep(again)
		if set, again = forced(objectKey{kind: kindNode, name: "n"}); set || again != 0 {
			t.Errorf("set %v, again in %s", set, again)
		}
	})
}

func TestAPolicyIsReadWhenItsAnnotationChanges(t *testing.T) {
	read := func(was, is map[string]string, generations ...int64) bool {
		old, next := &v1alpha1.RetryPolicy{}, &v1alpha1.RetryPolicy{}
		old.Annotations, next.Annotations = was, is
		if len(generations) > 0 {
			next.Generation = generations[0]
		}
		return changedPolicy[*v1alpha1.RetryPolicy]().Update(event.TypedUpdateEvent[*v1alpha1.RetryPolicy]{ObjectOld: old, ObjectNew: next})
	}
	with := func(text string) map[string]string {
		return map[string]string{v1alpha1.AnnotationCircuitBreaker: text, "other": text}
	}
	if !read(nil, with("open")) || !read(with("open"), with("closed")) || !read(with(""), nil) || !read(nil, nil, 1) {
		t.Error("a change is not read")
	}
	if read(with("open"), with("open")) || read(nil, map[string]string{"other": "x"}) {
		t.Error("something else is read")
	}
}

// One that has something of the spec may edit labels alone, which moves the time of its entry in managedFields: that is read, or an edit that comes later
// would be put down to it. Others' times are of no account.
func TestAPolicyIsReadWhenTheTimeOfItsLastEditMoves(t *testing.T) {
	ofStatus := func(second int) metav1.ManagedFieldsEntry {
		f := managed("fairlead", second, ofSpec)
		f.Subresource = "status"
		return f
	}
	for name, tc := range map[string]struct {
		was, is metav1.ManagedFieldsEntry
		want    bool
	}{
		"nothing":      {managed("argocd", 1, ofSpec), managed("argocd", 1, ofSpec), false},
		"its time":     {managed("argocd", 1, ofSpec), managed("argocd", 2, ofSpec), true},
		"labels alone": {managed("labels", 1, ofNames), managed("labels", 2, ofNames), false},
		"the status":   {ofStatus(1), ofStatus(2), false},
	} {
		e := event.TypedUpdateEvent[*v1alpha1.RetryPolicy]{ObjectOld: &v1alpha1.RetryPolicy{}, ObjectNew: &v1alpha1.RetryPolicy{}}
		e.ObjectOld.ManagedFields, e.ObjectNew.ManagedFields = []metav1.ManagedFieldsEntry{tc.was}, []metav1.ManagedFieldsEntry{tc.is}
		if got := changedPolicy[*v1alpha1.RetryPolicy]().Update(e); got != tc.want {
			t.Errorf("%s: read %t", name, got)
		}
	}
}
