package ca

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestTheClusterKeepsAuthoritiesAndPublishesTheBundle(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	storage := &Cluster{Client: api, Namespace: "fairlead-system", Secret: "fairlead-ca", ConfigMap: "fairlead-ca"}
	one, two := newRenewer(t, storage), newRenewer(t, storage)
	now := time.Now()
	for _, k := range []*Renewer{one, two, one} {
		if err := k.Refresh(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	cm := new(corev1.ConfigMap)
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "fairlead-system", Name: "fairlead-ca"}, cm); err != nil {
		t.Fatal(err)
	}
	for i, k := range []*Renewer{one, two} {
		if err := trusts([]byte(cm.Data[BundleKey]), k, now); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
	}
	// A successor is added to both.
	if err := one.Refresh(t.Context(), now.Add(Lifetime-RenewBefore)); err != nil {
		t.Fatal(err)
	}
	data, _, err := storage.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	as, err := Parse(data)
	if err != nil || len(as) != 2 {
		t.Fatalf("%d authorities, %v; want 2", len(as), err)
	}
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(cm), cm); err != nil || cm.Data[BundleKey] != string(as.Bundle()) {
		t.Errorf("the bundle published is not that of the authorities: %v", err)
	}
}

// Two replicas of a fresh installation find no bundle, and both make it. The slower one must not wait for its next attempt to be ready.
func TestPublishingMinglesWithAnotherReplicas(t *testing.T) {
	var slower *Cluster
	create := func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
		faster := *slower
		faster.Client = c
		if err := faster.Publish(ctx, []byte("bundle")); err != nil {
			return err
		}
		return c.Create(ctx, obj, opts...)
	}
	api := fake.NewClientBuilder().Build()
	slower = &Cluster{Client: interceptor.NewClient(api, interceptor.Funcs{Create: create}), Namespace: "ns", ConfigMap: "c"}
	if err := slower.Publish(t.Context(), []byte("bundle")); err != nil {
		t.Error(err)
	}
}

func TestTheClusterRefusesAStaleWrite(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	storage := &Cluster{Client: api, Namespace: "ns", Secret: "s", ConfigMap: "c"}
	if err := storage.Save(t.Context(), []byte("first"), ""); err != nil {
		t.Fatal(err)
	}
	if err := storage.Save(t.Context(), []byte("second"), ""); !errors.Is(err, ErrConflict) {
		t.Errorf("a second creation: %v", err)
	}
	_, revision, err := storage.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Save(t.Context(), []byte("third"), revision); err != nil {
		t.Fatal(err)
	}
	if err := storage.Save(t.Context(), []byte("fourth"), revision); !errors.Is(err, ErrConflict) {
		t.Errorf("a stale update: %v", err)
	}
}
