package controller

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// source returns a policy as the index reads it, and notes when what its annotation says, and what it injects, is over.
func (r *objectReconciler) source(p *v1alpha1.RetryPolicy) compile.Source {
	src := compile.FromRetryPolicy(p)
	r.timed(objectKey{kind: kindPolicy, namespace: p.Namespace, name: p.Name}, &src, &p.ObjectMeta)
	return src
}

func (r *objectReconciler) clusterSource(p *v1alpha1.ClusterRetryPolicy) compile.Source {
	src := compile.FromClusterRetryPolicy(p)
	r.timed(objectKey{kind: kindClusterPolicy, name: p.Name}, &src, &p.ObjectMeta)
	return src
}

// timed reads what a policy says for a time, and notes when the first of it is over.
func (r *objectReconciler) timed(key objectKey, src *compile.Source, m *metav1.ObjectMeta) {
	now := time.Now()
	src.Forced, src.Faults = compile.ForcedOf(m, now), compile.FaultsOf(src, m, now)
	delete(r.expiries, key)
	if src.Forced.Set() {
		r.expires(key, src.Forced.End())
	}
	if src.Faults.Set() {
		r.expires(key, src.Faults.End())
	}
}

// expires has a policy read again at a time, if not sooner.
func (r *objectReconciler) expires(key objectKey, at time.Time) {
	if r.expiries == nil {
		r.expiries = map[objectKey]time.Time{}
	}
	if first, there := r.expiries[key]; !there || at.Before(first) {
		r.expiries[key] = at
	}
}

// readExpired reads the policies again of which something that they say is over.
func (r *objectReconciler) readExpired(ctx context.Context) error {
	for key, until := range r.expiries {
		if until.After(time.Now()) {
			continue
		}
		if err := r.read(ctx, key); err != nil {
			return err
		}
		if r.expiries[key].Equal(until) { // the policy is gone
			delete(r.expiries, key)
		}
	}
	return nil
}

// untilNextExpiry returns how long it is until something has to be read again, or 0.
func (r *objectReconciler) untilNextExpiry() time.Duration {
	var next time.Time
	for _, until := range r.expiries {
		if next.IsZero() || until.Before(next) {
			next = until
		}
	}
	if next.IsZero() {
		return 0
	}
	return max(time.Until(next), time.Millisecond)
}

// changedPolicy passes changes of what a policy says: its spec, and the annotation about its circuit breakers. It passes those of when who has written the
// spec last has written, too: that may have been labels alone, and must not be taken for the next edit.
func changedPolicy[T client.Object]() predicate.TypedPredicate[T] {
	spec := predicate.TypedGenerationChangedPredicate[T]{}
	return predicate.TypedFuncs[T]{
		UpdateFunc: func(e event.TypedUpdateEvent[T]) bool {
			const name = v1alpha1.AnnotationCircuitBreaker
			was, had := e.ObjectOld.GetAnnotations()[name]
			is, has := e.ObjectNew.GetAnnotations()[name]
			return spec.Update(e) || was != is || had != has || editOf(e.ObjectOld) != editOf(e.ObjectNew)
		},
	}
}
