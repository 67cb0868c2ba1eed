package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// figuresInterval is how often figures of traffic are taken from agents' reports, which come that often.
	figuresInterval = 5 * time.Second
	// withdrawalInterval is how often to ask whether agents have acknowledged that a policy was switched off; that enqueues nothing.
	withdrawalInterval = 200 * time.Millisecond
	// staleInterval is when to reconcile a policy again that is not as the cache has it.
	staleInterval = 100 * time.Millisecond
	// ackGrace is how long nodes may take to acknowledge what does not concern the policy's own generation.
	ackGrace = 10 * time.Second
)

// agents is what the status reconciler asks about agents.
type agents interface {
	Rollout(id policy.ID) distribute.Rollout
	Traffic(id policy.ID) distribute.Figures
	Behind(revision uint64) int
}

// statusReconciler writes the status of policies.
type statusReconciler struct {
	// immutable
	client   client.Client
	index    *index.Index
	agents   agents
	recorder events.EventRecorder
	changes  *changes.Log // nil: none is kept
	clock    clock.PassiveClock
	schedule *writeSchedule
	wrote    func(status.Change) // counts writes

	mu sync.Mutex
	// guarded by mu
	records map[policy.ID]*statusRecord
}

var _ reconcile.TypedReconciler[policy.ID] = (*statusReconciler)(nil)

// SetupWithManager has mgr run the reconciler on the policies in queue, on the replica that leads.
func (c *statusReconciler) SetupWithManager(mgr manager.Manager, queue *keyQueue[policy.ID]) error {
	ctl, err := controller.NewTyped("status", mgr, controller.TypedOptions[policy.ID]{
		Reconciler:              c,
		MaxConcurrentReconciles: 4,
		SkipNameValidation:      ptr.To(true), // several managers may live in one test process
	})
	if err != nil {
		return fmt.Errorf("set up the status reconciler: %w", err)
	}
	return errors.Join(ctl.Watch(queue), mgr.Add(&scheduleRunner{schedule: c.schedule, clock: c.clock, enqueue: queue.add}))
}

// Reconcile brings the status of one policy up to date: because something happened that somebody may wait for, or because it is the
// policy's turn.
func (c *statusReconciler) Reconcile(ctx context.Context, id policy.ID) (reconcile.Result, error) {
	kind, turn := c.schedule.claim(id)
	r, err := c.reconcile(ctx, id, turn)
	if turn && !r.wrote {
		c.schedule.refund(kind)
	}
	return reconcile.Result{RequeueAfter: r.requeueAfter}, err
}

// result is the outcome of a Reconcile.
type result struct {
	wrote        bool
	requeueAfter time.Duration // when to reconcile again, without a turn, if that is not zero
}

func (c *statusReconciler) reconcile(ctx context.Context, id policy.ID, turn bool) (result, error) {
	v, ok := c.index.View(id)
	if !ok {
		c.forget(id)
		return result{}, nil
	}
	if v.Unpublished {
		return result{}, nil // agents acknowledged what was before; the policy is enqueued when it has been published
	}
	obj, base, err := c.get(ctx, id)
	if apierrors.IsNotFound(err) {
		return result{}, nil // deleted; the index will follow
	}
	if err != nil {
		return result{}, err
	}
	if obj.GetUID() != v.UID {
		return result{requeueAfter: staleInterval}, nil // deleted and made again; the index will follow
	}
	record := c.record(id, v.UID)
	base = record.latest(obj, base)
	now := c.clock.Now()
	reports := c.reportsOf(&v, base, now)
	if len(v.Profiles) > 0 && reports.Rollout.Desired == 0 {
		return result{requeueAfter: staleInterval}, nil // other profiles have taken their place since, and are published next
	}
	reports.KnownFor = now.Sub(record.knownSince)
	next := status.Of(&v, reports, base, metav1.NewTime(now.UTC().Truncate(time.Second)))
	c.noteProgrammed(record, next.Conditions)
	record.breakers.observe(c.recorder, obj, base, reports)
	record.openings.observe(c.changes, now, &v, base, reports)
	record.endpoints.observe(c.recorder, obj, base, &reports.Figures)
	record.notices.observe(c.recorder, obj, base, &reports.Figures)
	record.dryRun.observe(c.recorder, obj, base, &reports.Figures, now)
	r, err := c.write(ctx, obj, &statusWrite{id: id, record: record, base: base, next: next, turn: turn, reported: len(v.Reports) > 0})
	if err == nil && r.requeueAfter == 0 {
		r.requeueAfter = expectedChange(reports, now)
	}
	return r, err
}

// expectedChange returns when the status may change though nothing happens that enqueues the policy; 0 for never.
func expectedChange(r *status.Reports, now time.Time) time.Duration {
	switch {
	case r.Behind > 0:
		return withdrawalInterval
	case r.WithinGrace && r.Rollout.Pending > 0:
		return ackGrace - now.Sub(r.Rollout.WaitingSince)
	}
	return 0
}

// reportsOf returns what agents reported of a policy.
func (c *statusReconciler) reportsOf(v *index.View, base *v1alpha1.PolicyStatus, now time.Time) *status.Reports {
	r := &status.Reports{Rollout: c.agents.Rollout(v.ID), Figures: status.Sum(v, c.agents.Traffic)}
	if v.Rollout != nil {
		r.Next = c.agents.Rollout(index.NextID(v.ID))
	}
	r.WithinGrace = now.Sub(r.Rollout.WaitingSince) < ackGrace
	if v.Mode != v1alpha1.ModeEnforce && !status.WasProgrammed(v, base) {
		r.Behind = c.agents.Behind(v.PublishedRevision)
	}
	return r
}

// get returns a policy and its status from the cache.
func (c *statusReconciler) get(ctx context.Context, id policy.ID) (client.Object, *v1alpha1.PolicyStatus, error) {
	key := client.ObjectKey{Namespace: id.Namespace, Name: id.Name}
	if id.Kind == policy.KindClusterRetryPolicy {
		p := &v1alpha1.ClusterRetryPolicy{}
		err := c.client.Get(ctx, key, p)
		return p, &p.Status, err
	}
	p := &v1alpha1.RetryPolicy{}
	err := c.client.Get(ctx, key, p)
	return p, &p.Status, err
}
