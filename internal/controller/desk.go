package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// factKind is a kind of object that the desk reads.
type factKind uint8

const (
	namespaceFact factKind = iota
	podFact
	serviceFact // a Service, or EndpointSlices of it
	policyFact
	clusterPolicyFact
)

// fact names an object that may have changed.
type fact struct {
	kind            factKind
	namespace, name string
}

// publisher takes what the index works out to the agents.
type publisher interface {
	Publish(b *distribute.Batch) error
	Revision() uint64
	Serving() *distribute.ServingSwitch
}

// desk reads objects from the cache, tells the index, and publishes what follows. It works on one fact at a time.
type desk struct {
	// immutable
	reader   client.Reader
	index    *index
	agents   publisher
	statuses func([]policy.ID) // told which statuses to look at
	logger   *slog.Logger

	// used by Reconcile alone
	loaded bool // everything has been read once
}

var (
	_ reconcile.TypedReconciler[fact] = (*desk)(nil)
	_ manager.Runnable                = (*desk)(nil)
	_ manager.LeaderElectionRunnable  = (*desk)(nil)
)

// NeedLeaderElection keeps the desk closed on replicas that do not lead.
func (d *desk) NeedLeaderElection() bool { return true }

// Start lets agents stay until ctx ends.
func (d *desk) Start(ctx context.Context) error {
	<-ctx.Done()
	d.agents.Serving().Stop()
	return nil
}

// open reads everything once, publishes it as one change and lets agents in. Were they let in earlier, they would drop policies that
// are merely not compiled yet.
func (d *desk) open(ctx context.Context) error {
	began := time.Now()
	if err := d.load(ctx); err != nil {
		return fmt.Errorf("read the cluster: %w", err)
	}
	d.loaded = true
	d.publish(ctx)
	if ctx.Err() == nil {
		d.agents.Serving().Start()
		d.logger.InfoContext(ctx, "serving agents", "dur", time.Since(began))
	}
	return nil
}

// load tells the index everything the cache holds. Policies come before pods, so that each pod is looked at once.
func (d *desk) load(ctx context.Context) error {
	var namespaces corev1.NamespaceList
	if err := d.reader.List(ctx, &namespaces); err != nil {
		return err
	}
	for i := range namespaces.Items {
		d.index.setNamespace(namespaces.Items[i].Name, namespaces.Items[i].Labels)
	}
	// Policies refer to Services: have them in the cache first.
	if err := d.reader.List(ctx, &corev1.ServiceList{}, client.Limit(1)); err != nil {
		return err
	}
	var clusterPolicies v1alpha1.ClusterRetryPolicyList
	if err := d.reader.List(ctx, &clusterPolicies); err != nil {
		return err
	}
	for i := range clusterPolicies.Items {
		p := &clusterPolicies.Items[i]
		d.index.setPolicy(p.UID, compile.FromClusterRetryPolicy(p))
	}
	var policies v1alpha1.RetryPolicyList
	if err := d.reader.List(ctx, &policies); err != nil {
		return err
	}
	for i := range policies.Items {
		p := &policies.Items[i]
		d.index.setPolicy(p.UID, compile.FromRetryPolicy(p))
	}
	d.index.settleAll()
	var pods corev1.PodList
	if err := d.reader.List(ctx, &pods); err != nil {
		return err
	}
	for i := range pods.Items {
		d.index.setPod(podOf(&pods.Items[i]))
	}
	return nil
}

// Reconcile reads one object and publishes what follows from its change. The first time, which comes because there is always a
// namespace, it reads everything: the controller hears of all changes by then, so that nothing that goes away meanwhile is kept.
func (d *desk) Reconcile(ctx context.Context, f fact) (reconcile.Result, error) {
	if !d.loaded {
		return reconcile.Result{}, d.open(ctx)
	}
	if err := d.readFact(ctx, f); err != nil {
		return reconcile.Result{}, err
	}
	d.publish(ctx)
	return reconcile.Result{}, nil
}

func (d *desk) publish(ctx context.Context) {
	var b distribute.Batch
	dirty := d.index.flush(&b)
	if b.Len() > 0 {
		if err := d.agents.Publish(&b); err != nil {
			// The resources named keep their previous version; trying again would give the same.
			d.logger.ErrorContext(ctx, "cannot publish a change whole", "reason", err)
		}
	}
	d.index.published(d.agents.Revision())
	d.statuses(dirty)
}

func (d *desk) readFact(ctx context.Context, f fact) error {
	key := client.ObjectKey{Namespace: f.namespace, Name: f.name}
	switch f.kind {
	case namespaceFact:
		ns := &corev1.Namespace{}
		return found(d.reader.Get(ctx, key, ns),
			func() { d.index.setNamespace(ns.Name, ns.Labels) },
			func() { d.index.deleteNamespace(f.name) })
	case podFact:
		p := &corev1.Pod{}
		return found(d.reader.Get(ctx, key, p),
			func() { d.index.setPod(podOf(p)) },
			func() { d.index.deletePod(f.namespace, f.name) })
	case serviceFact:
		d.index.serviceChanged(f.namespace + "/" + f.name)
	case policyFact:
		p := &v1alpha1.RetryPolicy{}
		return found(d.reader.Get(ctx, key, p),
			func() { d.index.setPolicy(p.UID, compile.FromRetryPolicy(p)) },
			func() {
				d.index.deletePolicy(policy.ID{Kind: policy.KindRetryPolicy, Namespace: f.namespace, Name: f.name})
			})
	case clusterPolicyFact:
		p := &v1alpha1.ClusterRetryPolicy{}
		return found(d.reader.Get(ctx, key, p),
			func() { d.index.setPolicy(p.UID, compile.FromClusterRetryPolicy(p)) },
			func() { d.index.deletePolicy(policy.ID{Kind: policy.KindClusterRetryPolicy, Name: f.name}) })
	}
	return nil
}

// found calls one of the functions by what a Get returned.
func found(err error, there, gone func()) error {
	switch {
	case err == nil:
		there()
	case apierrors.IsNotFound(err):
		gone()
	default:
		return err
	}
	return nil
}

func podOf(p *corev1.Pod) Pod {
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	return Pod{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, Node: p.Spec.NodeName, Labels: labels.Set(p.Labels),
		HostNetwork: p.Spec.HostNetwork, Running: p.Spec.NodeName != "" && !ended,
	}
}
