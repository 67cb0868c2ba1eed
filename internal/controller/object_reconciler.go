package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// objectKind is a kind of object that the objectReconciler reads.
type objectKind uint8

const (
	kindNamespace objectKind = iota
	kindPod
	kindService // a Service, or EndpointSlices of it
	kindPolicy
	kindClusterPolicy
	kindNode
	// what policies refer to
	kindConfigMap
	kindSecret
	kindTrustBundle
)

// referenceKinds are the kinds of what policies refer to. The table is never written to.
var referenceKinds = map[objectKind]v1alpha1.CABundleKind{
	kindConfigMap:   v1alpha1.CABundleConfigMap,
	kindSecret:      v1alpha1.CABundleSecret,
	kindTrustBundle: v1alpha1.CABundleClusterTrustBundle,
}

// keyOf returns the key of an object that policies refer to.
func keyOf(ref compile.Reference) objectKey {
	for kind, name := range referenceKinds {
		if name == ref.Kind {
			return objectKey{kind: kind, namespace: ref.Namespace, name: ref.Name}
		}
	}
	panic("controller: a reference of no kind")
}

// objectKey names an object that may have changed.
type objectKey struct {
	kind            objectKind
	namespace, name string
}

// objectReconciler reads objects from the cache and sets them in the index. It works on one object at a time.
type objectReconciler struct {
	// immutable
	reader  client.Reader
	pods    *podStore
	index   *index.Index
	changed func() // called when the index was changed, once everything has been read
	// references reads what policies refer to, and referenced names what of that has changed.
	references referenceReader
	referenced *keyQueue[objectKey]
	// changes hears of policies that are edited; nil: nobody does.
	changes *changes.Log
	// kept has the versions of policies that were in force.
	kept *revisions
	// namespaceChanged is called when a namespace is not what it was
	namespaceChanged func()

	// used by Reconcile alone
	loaded bool // everything has been read once
	// waiting has the policies that refer to something that was not read yet, by that.
	waiting map[objectKey]map[objectKey]struct{}
	// expiries are when something that policies say for a time is over, the first of it.
	expiries map[objectKey]time.Time
}

// referenceReader reads what policies refer to.
type referenceReader interface {
	// Require has the objects read, and returns those of which nothing is known yet.
	Require([]compile.Reference) []compile.Reference
	// Wait has the objects read, and returns when something is known of them all or the context ends.
	Wait(context.Context, []compile.Reference)
}

var _ reconcile.TypedReconciler[objectKey] = (*objectReconciler)(nil)

// SetupWithManager has mgr run the reconciler on all that is watched, on the replica that leads.
func (r *objectReconciler) SetupWithManager(mgr manager.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &discoveryv1.EndpointSlice{}, serviceIndex, indexSlice)
	if err != nil {
		return fmt.Errorf("index endpoint slices: %w", err)
	}
	if err := warm(context.Background(), mgr.GetCache()); err != nil {
		return err
	}
	pods, err := newPodSource(mgr, r.pods)
	if err != nil {
		return err
	}
	if err := mgr.Add(pods); err != nil {
		return err
	}
	c, err := controller.NewTyped("objects", mgr, controller.TypedOptions[objectKey]{
		Reconciler:              r,
		MaxConcurrentReconciles: 1,
		SkipNameValidation:      ptr.To(true), // several managers may live in one test process
	})
	if err != nil {
		return fmt.Errorf("set up the object reconciler: %w", err)
	}
	if err := errors.Join(watchAll(c, mgr, r.pods), c.Watch(r.referenced)); err != nil {
		return fmt.Errorf("watch the cluster: %w", err)
	}
	return nil
}

// Reconcile reads one object. The first time, which comes because there is always a namespace, it reads everything: the watches have
// started by then, so that nothing that is deleted meanwhile is kept.
func (r *objectReconciler) Reconcile(ctx context.Context, key objectKey) (reconcile.Result, error) {
	read := func() error { return r.read(ctx, key) }
	if !r.loaded {
		read = func() error { return r.load(ctx) }
	}
	if err := read(); err != nil {
		return reconcile.Result{}, err
	}
	r.loaded = true
	if err := r.readExpired(ctx); err != nil {
		return reconcile.Result{}, err
	}
	r.changed()
	return reconcile.Result{RequeueAfter: r.untilNextExpiry()}, nil
}

func (r *objectReconciler) read(ctx context.Context, o objectKey) error {
	key := client.ObjectKey{Namespace: o.namespace, Name: o.name}
	switch o.kind {
	case kindNamespace:
		defer r.namespaceChanged()
		ns := &corev1.Namespace{}
		return setOrDelete(r.reader.Get(ctx, key, ns),
			func() { r.index.SetNamespace(ns.Name, ns.Labels) },
			func() { r.index.DeleteNamespace(o.name) })
	case kindPod:
		if p, there := r.pods.get(o.namespace, o.name); there {
			r.index.SetPod(p)
		} else {
			r.index.DeletePod(o.namespace, o.name)
		}
	case kindService:
		r.index.ServiceChanged(o.namespace + "/" + o.name)
	case kindNode:
		r.index.NodeChanged(o.name)
	case kindPolicy:
		p := &v1alpha1.RetryPolicy{}
		return setOrDelete(r.reader.Get(ctx, key, p),
			func() { r.setPolicy(o, p, r.source(p)) },
			func() {
				r.changes.PolicyGone(time.Now(), o.namespace+"/"+o.name)
				r.index.DeletePolicy(policy.ID{Kind: policy.KindRetryPolicy, Namespace: o.namespace, Name: o.name})
			})
	case kindClusterPolicy:
		p := &v1alpha1.ClusterRetryPolicy{}
		return setOrDelete(r.reader.Get(ctx, key, p),
			func() { r.setPolicy(o, p, r.clusterSource(p)) },
			func() {
				r.changes.PolicyGone(time.Now(), o.name)
				r.index.DeletePolicy(policy.ID{Kind: policy.KindClusterRetryPolicy, Name: o.name})
			})
	case kindConfigMap, kindSecret, kindTrustBundle:
		return r.readReference(ctx, o)
	}
	return nil
}

// setPolicy sets a policy in the index once something is known of all that it refers to: a policy must not be called invalid because it is
// newer than what is known.
func (r *objectReconciler) setPolicy(o objectKey, p client.Object, src compile.Source) {
	r.changes.PolicySeen(time.Now(), strings.TrimPrefix(o.namespace+"/"+o.name, "/"), editOf(p), !r.loaded)
	unread := r.references.Require(compile.ReferencesOf(&src))
	if len(unread) == 0 {
		r.index.SetPolicy(p.GetUID(), src)
		return
	}
	for _, ref := range unread {
		key := keyOf(ref)
		if r.waiting[key] == nil {
			r.waiting[key] = map[objectKey]struct{}{}
		}
		r.waiting[key][o] = struct{}{}
	}
}

// readReference takes note of what is known of an object that policies refer to, and reads the policies that waited for it.
func (r *objectReconciler) readReference(ctx context.Context, o objectKey) error {
	r.index.ReferenceChanged(compile.Reference{Kind: referenceKinds[o.kind], Namespace: o.namespace, Name: o.name})
	for key := range r.waiting[o] {
		if err := r.read(ctx, key); err != nil {
			return err
		}
		delete(r.waiting[o], key)
	}
	delete(r.waiting, o)
	return nil
}

// setOrDelete calls one of the functions by what a Get returned.
func setOrDelete(err error, set, del func()) error {
	switch {
	case err == nil:
		set()
	case apierrors.IsNotFound(err):
		del()
	default:
		return err
	}
	return nil
}

func podOf(p *corev1.Pod) index.Pod {
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	return index.Pod{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, Node: p.Spec.NodeName, Labels: labels.Set(p.Labels),
		HostNetwork: p.Spec.HostNetwork, Running: p.Spec.NodeName != "" && !ended, Owner: compile.OwnerOf(p),
	}
}
