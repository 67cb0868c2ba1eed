package controller

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// Get returns a policy that refers to a Secret.
func (c *fakeCache) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if p, ok := obj.(*v1alpha1.RetryPolicy); ok {
		p.Namespace, p.Name, p.UID, p.Generation = key.Namespace, key.Name, "new", 1
		p.Spec.To = []v1alpha1.Destination{{Host: "a.example", Protocol: v1alpha1.ProtocolHTTP, TLS: &v1alpha1.DestinationTLS{
			Mode: v1alpha1.TLSOriginate, CABundleRef: &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleSystem}, ClientCertificateRef: &v1alpha1.SecretReference{Name: "client"}}}}
	}
	return c.err
}

// A policy must not be called invalid because it is newer than what is known of what it refers to.
func TestAPolicyWaitsForWhatItRefersTo(t *testing.T) {
	secret := compile.Reference{Kind: v1alpha1.CABundleSecret, Namespace: "shop", Name: "client"}
	references := &fakeReferences{unread: map[compile.Reference]bool{secret: true}}
	r := newReadAndCompile(&fakeCache{pods: newPodStore()})
	r.objectReconciler.references = references
	do := func(key objectKey) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	do(objectKey{kind: kindNamespace, name: "shop"})
	if len(references.waited) != 2 { // for cluster policies, and for the others
		t.Errorf("waited for %v at the start", references.waited)
	}
	do(objectKey{kind: kindPolicy, namespace: "shop", name: "q"})
	id := policy.ParseID("shop/q")
	if _, known := r.objectReconciler.index.View(id); known {
		t.Error("it is looked at before anything is known of the Secret")
	}
	references.unread = nil
	do(keyOf(secret))
	if v, known := r.objectReconciler.index.View(id); !known || len(v.Problems) != 1 || v.Problems[0].Reason != v1alpha1.ReasonReferenceNotFound {
		t.Errorf("then %v, %+v", known, v.Problems)
	}
	if len(r.waiting) > 0 {
		t.Errorf("still waiting: %v", r.waiting)
	}
}
