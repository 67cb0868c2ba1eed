package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// referenceTimeout is how long a manager that comes to lead waits for what policies refer to. After that it does without what is missing:
// agents keep what they have of it.
const referenceTimeout = 10 * time.Second

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
	policies := make([]loadedPolicy, 0, len(list.Items))
	for i := range list.Items {
		policies = append(policies, loadedPolicy{list.Items[i].UID, r.clusterSource(&list.Items[i])})
	}
	r.setPolicies(ctx, policies)
	return nil
}

// loadedPolicy is a policy that was read with all others.
type loadedPolicy struct {
	uid types.UID
	compile.Source
}

// setPolicies sets policies in the index. It waits until something is known of all that they refer to, or else agents would be sent policies
// without it; not for ever, because one object that cannot be read must not keep all agents waiting.
func (r *objectReconciler) setPolicies(ctx context.Context, policies []loadedPolicy) {
	var refs []compile.Reference
	for i := range policies {
		refs = append(refs, compile.ReferencesOf(&policies[i].Source)...)
	}
	limited, cancel := context.WithTimeout(ctx, referenceTimeout)
	defer cancel()
	r.references.Wait(limited, refs)
	for i := range policies {
		r.index.SetPolicy(policies[i].uid, policies[i].Source)
	}
}

func (r *objectReconciler) loadPolicies(ctx context.Context) error {
	var list v1alpha1.RetryPolicyList
	if err := r.reader.List(ctx, &list); err != nil {
		return err
	}
	policies := make([]loadedPolicy, 0, len(list.Items))
	for i := range list.Items {
		policies = append(policies, loadedPolicy{list.Items[i].UID, r.source(&list.Items[i])})
	}
	r.setPolicies(ctx, policies)
	return nil
}

// loadPods sets the pods, which the store has: the reconciler does not start before.
func (r *objectReconciler) loadPods(context.Context) error {
	r.index.ResolveConflicts()
	r.pods.each(r.index.SetPod)
	return nil
}
