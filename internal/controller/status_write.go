package controller

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

// fieldOwner is the name under which status is applied.
const fieldOwner = "fairlead-manager"

// How often status is written. What a person or a tool waits for is written at once while its budget lasts; figures and counts wait for
// their turn: see writeSchedule.
const (
	// trafficInterval is the least time between two writes of a policy's traffic figures.
	trafficInterval = 10 * time.Second
	// countInterval is the least time between two writes of a policy's other figures.
	countInterval = 2 * time.Second
	// checksPerSecond bounds the reconciliations for figures of traffic, of which many find nothing to write.
	checksPerSecond = 100
	// conditionsPerSecond and conditionBurst bound the writes of conditions of all policies.
	conditionsPerSecond, conditionBurst = 100, 500
	// figuresPerSecond and figureBurst bound all other writes.
	figuresPerSecond, figureBurst = 8, 16
)

// statusWrite is a status that may be due for writing.
type statusWrite struct {
	id         policy.ID
	record     *statusRecord
	base, next *v1alpha1.PolicyStatus
	turn       bool // it is the policy's turn
	reported   bool // agents report figures of it
	held       bool // there are newer figures, which may not be written yet
}

// write writes the status if it is time for it. Else the policy is scheduled.
func (c *statusReconciler) write(ctx context.Context, obj client.Object, w *statusWrite) (result, error) {
	now := c.clock.Now()
	change := w.change(now)
	if !c.due(w, change, now) {
		c.scheduleWrite(w, change, now)
		return result{}, nil
	}
	version, err := c.apply(ctx, obj, w)
	if err != nil && !w.turn {
		c.schedule.refund(kindConditions)
	}
	switch {
	case apierrors.IsNotFound(err):
		return result{}, nil
	case apierrors.IsConflict(err):
		return result{requeueAfter: staleInterval}, nil
	case err != nil:
		return result{}, fmt.Errorf("write status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	c.wrote(change)
	w.wrote(version, change, now)
	recordTransitions(c.recorder, obj, w.base, w.next)
	c.scheduleFigures(w, now)
	if len(w.base.Conditions) == 0 {
		return result{wrote: true, requeueAfter: time.Millisecond}, nil // the first answer was a provisional one
	}
	return result{wrote: true}, nil
}

// wrote takes note of a write.
func (w *statusWrite) wrote(version string, change status.Change, now time.Time) {
	r := w.record
	r.version, r.status, r.wroteAt = version, w.next, now
	if change == status.ChangeCondition {
		r.conditionsAt = now
	}
	if !status.SameTraffic(w.base.Traffic, w.next.Traffic) {
		r.trafficAt = now
	}
}

// change says what there is to write. Figures that were written only just now are left as they are.
func (w *statusWrite) change(now time.Time) status.Change {
	latest := w.next.Traffic
	if status.SameTraffic(w.base.Traffic, latest) {
		w.next.Traffic = w.base.Traffic
	} else if now.Sub(w.record.trafficAt) < trafficInterval && status.SameBreaker(w.base.Traffic, latest) {
		w.next.Traffic, w.held = w.base.Traffic, true
	}
	return status.Compare(w.base, w.next)
}

// due reports whether a change may be written now, and takes it from the budget unless it is the policy's turn.
func (c *statusReconciler) due(w *statusWrite, change status.Change, now time.Time) bool {
	switch change {
	case status.ChangeCondition:
		return w.turn || c.schedule.spendAtOnce(now)
	case status.ChangeCounts:
		return w.turn && !w.countsAt().After(now)
	case status.ChangeTraffic:
		return w.turn
	case status.ChangeNone:
	}
	return false
}

// countsAt is when counts may be written again.
func (w *statusWrite) countsAt() time.Time { return w.record.wroteAt.Add(countInterval) }

// scheduleWrite has a policy that is not written now wait for its turn.
func (c *statusReconciler) scheduleWrite(w *statusWrite, change status.Change, now time.Time) {
	switch {
	case change == status.ChangeCondition:
		c.schedule.schedule(w.id, kindConditions, w.record.conditionsAt)
	case change == status.ChangeCounts:
		c.schedule.schedule(w.id, kindCounts, w.countsAt())
	case change == status.ChangeTraffic || w.held:
		c.schedule.schedule(w.id, kindFigures, w.record.trafficAt.Add(trafficInterval))
	default:
		c.scheduleFigures(w, now)
	}
}

// scheduleFigures schedules the policy for when there may be other figures. Where there are very many policies that is not as often as agents
// report.
func (c *statusReconciler) scheduleFigures(w *statusWrite, now time.Time) {
	if !w.reported {
		return
	}
	interval := time.Duration(c.schedule.size()) * time.Second / checksPerSecond
	due := now.Add(max(figuresInterval, interval))
	if next := w.record.trafficAt.Add(trafficInterval); next.After(due) {
		due = next
	}
	c.schedule.schedule(w.id, kindFigures, due)
}

// apply applies the status on the server and returns the version it made.
func (c *statusReconciler) apply(ctx context.Context, obj client.Object, w *statusWrite) (string, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w.next)
	if err != nil {
		return "", reconcile.TerminalError(err)
	}
	kind := v1alpha1.RetryPolicyKind
	if _, ok := obj.(*v1alpha1.ClusterRetryPolicy); ok {
		kind = v1alpha1.ClusterRetryPolicyKind
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(kind))
	u.SetNamespace(obj.GetNamespace())
	u.SetName(obj.GetName())
	u.SetResourceVersion(w.record.latestVersion(obj)) // one of the same name made meanwhile must not get this one's status
	if err := c.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return "", err
	}
	return u.GetResourceVersion(), nil
}
