package controller

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// cacheOptions keep in memory only what is read. Pods are kept in a store of their own.
func cacheOptions() cache.Options {
	// The objects are shared with the cache, not copied, and never written to.
	trimmed := func(trim func(any) (any, error)) cache.ByObject {
		return cache.ByObject{Transform: trim, UnsafeDisableDeepCopy: ptr.To(true)}
	}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Namespace{}:          trimmed(trimNamespace),
			&corev1.Node{}:               trimmed(trimNode),
			&corev1.Service{}:            trimmed(trimService),
			&discoveryv1.EndpointSlice{}: trimmed(trimSlice),
			// Status is written to copies of policies, so these are copied.
			&v1alpha1.RetryPolicy{}:        {Transform: trimManagers},
			&v1alpha1.ClusterRetryPolicy{}: {Transform: trimManagers},
		},
	}
}

// warm has the cache filled on every replica, as podSource does for pods, so that one that comes to lead serves agents at once.
func warm(ctx context.Context, c cache.Cache) error {
	for _, obj := range []client.Object{
		&corev1.Namespace{}, &corev1.Node{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, &v1alpha1.RetryPolicy{}, &v1alpha1.ClusterRetryPolicy{},
	} {
		if _, err := c.GetInformer(ctx, obj, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch %T: %w", obj, err)
		}
	}
	return nil
}

func trimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Labels: m.Labels}
}

func trimNamespace(obj any) (any, error) {
	ns, ok := obj.(*corev1.Namespace)
	if !ok {
		return obj, nil
	}
	return &corev1.Namespace{ObjectMeta: trimMeta(&ns.ObjectMeta)}, nil
}

// trimNode keeps what says where a node is.
func trimNode(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion}}
	if zone, set := n.Labels[corev1.LabelTopologyZone]; set {
		out.Labels = map[string]string{corev1.LabelTopologyZone: zone}
	}
	return out, nil
}

func trimService(obj any) (any, error) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return obj, nil
	}
	return &corev1.Service{
		ObjectMeta: trimMeta(&s.ObjectMeta),
		Spec: corev1.ServiceSpec{
			Type: s.Spec.Type, ClusterIPs: s.Spec.ClusterIPs, Ports: s.Spec.Ports, InternalTrafficPolicy: s.Spec.InternalTrafficPolicy,
			SessionAffinity: s.Spec.SessionAffinity, SessionAffinityConfig: s.Spec.SessionAffinityConfig,
		},
	}, nil
}

func trimSlice(obj any) (any, error) {
	s, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj, nil
	}
	out := &discoveryv1.EndpointSlice{ObjectMeta: trimMeta(&s.ObjectMeta), AddressType: s.AddressType, Ports: s.Ports}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: e.Conditions, NodeName: e.NodeName, Hints: e.Hints})
	}
	return out, nil
}

// watch has c reconcile objects like obj.
func watch[T client.Object](c controller.TypedController[objectKey], mgr manager.Manager, obj T, kind objectKind, predicates ...predicate.TypedPredicate[T]) error {
	mapped := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, o T) []objectKey {
		f := objectKey{kind: kind, namespace: o.GetNamespace(), name: o.GetName()}
		if s, ok := any(o).(*discoveryv1.EndpointSlice); ok {
			if f.name = s.Labels[discoveryv1.LabelServiceName]; f.name == "" {
				return nil
			}
		}
		return []objectKey{f}
	})
	return c.Watch(source.TypedKind(mgr.GetCache(), obj, mapped, predicates...))
}

// watchAll has c reconcile everything that matters.
func watchAll(c controller.TypedController[objectKey], mgr manager.Manager, pods *podStore) error {
	for _, err := range []error{
		watch(c, mgr, &corev1.Namespace{}, kindNamespace, changed(func(a, b *corev1.Namespace) bool { return !maps.Equal(a.Labels, b.Labels) })),
		watch(c, mgr, &corev1.Node{}, kindNode, changed(func(a, b *corev1.Node) bool { return !maps.Equal(a.Labels, b.Labels) })), // of the zone alone
		c.Watch(podChanges{pods}),
		watch(c, mgr, &corev1.Service{}, kindService),
		watch(c, mgr, &discoveryv1.EndpointSlice{}, kindService),
		watch(c, mgr, &v1alpha1.RetryPolicy{}, kindPolicy, changedPolicy[*v1alpha1.RetryPolicy]()),
		watch(c, mgr, &v1alpha1.ClusterRetryPolicy{}, kindClusterPolicy, changedPolicy[*v1alpha1.ClusterRetryPolicy]()),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// changed lets updates pass for which differ holds.
func changed[T client.Object](differ func(a, b T) bool) predicate.TypedPredicate[T] {
	return predicate.TypedFuncs[T]{UpdateFunc: func(e event.TypedUpdateEvent[T]) bool { return differ(e.ObjectOld, e.ObjectNew) }}
}
