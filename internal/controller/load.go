package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// load sets everything that the cache holds in the index. Policies come before pods, so that each pod is looked at once.
func (r *objectReconciler) load(ctx context.Context) error {
	for _, load := range []func(context.Context) error{r.loadNamespaces, r.waitForServices, r.loadClusterPolicies, r.loadPolicies, r.loadPods} {
		if err := load(ctx); err != nil {
			return fmt.Errorf("read the cluster: %w", err)
		}
	}
	return nil
}

func (r *objectReconciler) loadNamespaces(ctx context.Context) error {
	var list corev1.NamespaceList
	if err := r.reader.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		r.index.SetNamespace(list.Items[i].Name, list.Items[i].Labels)
	}
	return nil
}

// waitForServices returns when the cache has the Services, which policies refer to.
func (r *objectReconciler) waitForServices(ctx context.Context) error {
	return r.reader.List(ctx, &corev1.ServiceList{}, client.Limit(1))
}

func (r *objectReconciler) loadClusterPolicies(ctx context.Context) error {
	var list v1alpha1.ClusterRetryPolicyList
	if err := r.reader.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		r.index.SetPolicy(list.Items[i].UID, compile.FromClusterRetryPolicy(&list.Items[i]))
	}
	return nil
}

func (r *objectReconciler) loadPolicies(ctx context.Context) error {
	var list v1alpha1.RetryPolicyList
	if err := r.reader.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		r.index.SetPolicy(list.Items[i].UID, compile.FromRetryPolicy(&list.Items[i]))
	}
	return nil
}

// loadPods sets the pods, which the store has: the reconciler does not start before.
func (r *objectReconciler) loadPods(context.Context) error {
	r.index.ResolveConflicts()
	r.pods.each(r.index.SetPod)
	return nil
}
