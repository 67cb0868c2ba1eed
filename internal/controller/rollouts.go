package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/rollout"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/policy"
)

// What is kept of policies that are rolled out.
//
// +kubebuilder:rbac:groups=apps,namespace=fairlead-system,resources=controllerrevisions,verbs=get;list;create;delete

// rolloutInterval is how often a rollout that is observed is looked at. Agents report as often.
const rolloutInterval = 5 * time.Second

// rolloutAgents is what the rollout reconciler asks about agents.
type rolloutAgents interface {
	Rollout(id policy.ID) distribute.Rollout
	Traffic(id policy.ID) distribute.Figures
	StartComparison(id policy.ID, c distribute.Comparison)
	Compared(id policy.ID) distribute.Compared
	EndComparison(id policy.ID)
}

// rolloutReconciler brings changes of policies to a share of the nodes, observes them there, and brings them to all or takes them back.
type rolloutReconciler struct {
	// immutable
	index    *index.Index
	agents   rolloutAgents
	kept     *revisions
	clock    clock.PassiveClock
	changed  func()            // called when the index was changed
	statuses func([]policy.ID) // enqueues policies whose status may have changed
	logger   *slog.Logger

	// used by Reconcile alone
	observed map[policy.ID]*observedRollout
	uids     map[policy.ID]types.UID // of the policies of which something may be kept
	swept    bool
}

// observedRollout is what is remembered of a rollout whose traffic is observed.
type observedRollout struct {
	uid        types.UID
	generation int64
	boundary   int64
	observed   time.Duration
	at         time.Time // when observed was added to last; zero: at no time, or the nodes have not acknowledged the change since
}

var _ reconcile.TypedReconciler[policy.ID] = (*rolloutReconciler)(nil)

// SetupWithManager has mgr run the reconciler on the policies in queue, on the replica that leads.
func (c *rolloutReconciler) SetupWithManager(mgr manager.Manager, queue *keyQueue[policy.ID]) error {
	ctl, err := controller.NewTyped("rollouts", mgr, controller.TypedOptions[policy.ID]{
		Reconciler:              c,
		MaxConcurrentReconciles: 1,
		SkipNameValidation:      ptr.To(true), // several managers may live in one test process
	})
	if err != nil {
		return fmt.Errorf("set up the rollout reconciler: %w", err)
	}
	return ctl.Watch(queue)
}

// Reconcile takes the next step of the rollout of one policy.
func (c *rolloutReconciler) Reconcile(ctx context.Context, id policy.ID) (reconcile.Result, error) {
	v, ok := c.index.Rollout(id)
	if !ok {
		c.end(id)
		return reconcile.Result{}, c.forget(ctx, id)
	}
	c.sweep(ctx)
	if before, known := c.uids[id]; known && before != v.UID {
		c.end(id)
		if err := c.forget(ctx, id); err != nil {
			return reconcile.Result{}, err
		}
	}
	c.uids[id] = v.UID
	keepErr := c.keep(ctx, &v)
	if v.Unpublished || !rollout.UnderWay(v.State) {
		if !v.Unpublished {
			c.end(id)
		}
		return reconcile.Result{}, keepErr // the policy is enqueued when it has been published
	}
	if keepErr != nil && v.State.Phase == v1alpha1.RolloutPending {
		return reconcile.Result{}, keepErr // a restart of the manager must not bring to all nodes what no node has tried
	}
	return c.step(ctx, id, &v)
}

// keep keeps the version that is in force.
func (c *rolloutReconciler) keep(ctx context.Context, v *index.Rollout) error {
	if v.Stable == nil {
		return nil
	}
	return c.kept.keep(ctx, v.UID, v.Stable)
}

// step takes the next step of a rollout that is under way.
func (c *rolloutReconciler) step(ctx context.Context, id policy.ID, v *index.Rollout) (reconcile.Result, error) {
	next := rollout.Next(v.Spec, *v.State, c.input(id, v))
	if next.Phase == v1alpha1.RolloutComplete {
		if err := c.kept.keep(ctx, v.UID, v.Active); err != nil {
			return reconcile.Result{}, err
		}
	}
	if next.Phase != v.State.Phase {
		c.logger.InfoContext(ctx, "rollout", "policy", id, "generation", next.Generation, "phase", next.Phase, "nodes", next.Nodes, "of", next.AllNodes,
			"message", next.Message)
	}
	if c.index.SetRollout(id, v.UID, &next) {
		c.changed()
	}
	if !rollout.UnderWay(&next) {
		c.end(id)
	}
	c.statuses([]policy.ID{id})
	if next.Phase == v1alpha1.RolloutObserving {
		return reconcile.Result{RequeueAfter: c.wait(v, id)}, nil
	}
	return reconcile.Result{RequeueAfter: rolloutInterval}, nil
}

// wait returns when to look at a rollout that is observed again.
func (c *rolloutReconciler) wait(v *index.Rollout, id policy.ID) time.Duration {
	left := rollout.ObserveFor(v.Spec)
	if o := c.observed[id]; o != nil {
		left -= o.observed
	}
	return max(min(left, rolloutInterval), 10*time.Millisecond)
}

// input returns what the next step depends on.
func (c *rolloutReconciler) input(id policy.ID, v *index.Rollout) *rollout.Input {
	now := c.clock.Now()
	in := &rollout.Input{Now: now, UID: string(v.UID), Nodes: slices.Sorted(maps.Keys(v.Nodes)), Kept: true}
	of := c.agents.Rollout(index.NextID(id))
	in.Acknowledged = of.Desired == expected(v) && of.Programmed == of.Desired
	if len(of.Failures) > 0 {
		f := &of.Failures[0]
		in.Refusal = status.Bound(fmt.Sprintf("Node %s refused it (%s: %s).", f.Node, f.Reason, f.Message), 400)
	}
	switch v.State.Phase {
	case v1alpha1.RolloutUpdating:
		if in.Acknowledged {
			in.Before = c.before(v)
			c.observe(id, v, now)
		}
	case v1alpha1.RolloutObserving:
		c.observe(id, v, now)
		in.Observed = c.pass(id, now, in.Acknowledged)
		calls := c.agents.Compared(id)
		in.Changed, in.Others = callsOf(calls.On), callsOf(calls.Others)
	case v1alpha1.RolloutPending, v1alpha1.RolloutComplete, v1alpha1.RolloutRolledBack:
	}
	return in
}

// expected counts the nodes that should have the change.
func expected(v *index.Rollout) int {
	n := 0
	for node, governed := range v.Nodes {
		if governed && rollout.Reaches(v.State, string(v.UID), node) {
			n++
		}
	}
	return n
}

// observe has the calls of the nodes that have the change counted apart from the others', unless they are already.
func (c *rolloutReconciler) observe(id policy.ID, v *index.Rollout, now time.Time) {
	o := c.observed[id]
	boundary := ptr.Deref(v.State.Boundary, 0)
	if o != nil && o.uid == v.UID && o.generation == v.State.Generation && o.boundary == boundary {
		return
	}
	state, uid := v.State, string(v.UID)
	c.agents.StartComparison(id, distribute.Comparison{
		Of: compared(v), On: func(node string) bool { return rollout.Reaches(state, uid, node) },
	})
	c.observed[id] = &observedRollout{
		uid: v.UID, generation: v.State.Generation, boundary: boundary, observed: time.Duration(v.State.ObservedSeconds) * time.Second, at: now,
	}
}

// compared returns under what calls are reported that are compared: what both versions govern, or, where no node has the former one, what the
// changed one does.
func compared(v *index.Rollout) map[distribute.CallsOf]struct{} {
	out := map[distribute.CallsOf]struct{}{}
	for key := range v.Changed {
		if _, both := v.Others[key]; both || len(v.Others) == 0 {
			out[distribute.CallsOf{Policy: key.Policy, Target: key.Target}] = struct{}{}
		}
	}
	return out
}

// pass adds the time since it was called last to that for which a rollout was observed, if the nodes have the change.
func (c *rolloutReconciler) pass(id policy.ID, now time.Time, acknowledged bool) time.Duration {
	o := c.observed[id]
	if acknowledged && !o.at.IsZero() {
		o.observed += max(now.Sub(o.at), 0)
	}
	if o.at = now; !acknowledged {
		o.at = time.Time{}
	}
	return o.observed
}

// before returns the calls of the last minute that are compared.
func (c *rolloutReconciler) before(v *index.Rollout) v1alpha1.RolloutCalls {
	of := compared(v)
	policies := map[policy.ID]struct{}{}
	for key := range of {
		policies[key.Policy] = struct{}{}
	}
	var sum distribute.CallCount
	for id := range policies {
		for _, t := range c.agents.Traffic(id).Targets {
			if _, wanted := of[distribute.CallsOf{Policy: id, Target: t.Target}]; wanted {
				sum.Calls += t.Counts.Requests
				sum.Successes += min(t.Counts.Successes, t.Counts.Requests)
			}
		}
	}
	return callsOf(sum)
}

func callsOf(c distribute.CallCount) v1alpha1.RolloutCalls {
	return v1alpha1.RolloutCalls{Calls: int64(c.Calls), Successes: int64(c.Successes)}
}

// end stops observing a rollout.
func (c *rolloutReconciler) end(id policy.ID) {
	if c.observed[id] != nil {
		c.agents.EndComparison(id)
		delete(c.observed, id)
	}
}

// forget deletes what is kept of a policy that is no more, or whose changes come to all nodes at once.
func (c *rolloutReconciler) forget(ctx context.Context, id policy.ID) error {
	uid, known := c.uids[id]
	if !known {
		return nil
	}
	if err := c.kept.drop(ctx, uid, 0); err != nil {
		return err
	}
	delete(c.uids, id)
	return nil
}

// sweep deletes, once, what is kept of policies that went while no manager led.
func (c *rolloutReconciler) sweep(ctx context.Context) {
	if c.swept {
		return
	}
	err := c.kept.list(ctx)
	if err == nil {
		rolled := c.index.RolledOut()
		for _, uid := range c.kept.policies() {
			if _, there := rolled[uid]; !there {
				err = errors.Join(err, c.kept.drop(ctx, uid, 0))
			}
		}
	}
	if c.swept = err == nil; err != nil {
		c.logger.WarnContext(ctx, "cannot delete what is kept of former policies", "err", err)
	}
}

// restorePrevious adds to policies the generation that was in force, where it is another one and changes come to the nodes by a rollout.
func restorePrevious(ctx context.Context, kept *revisions, policies []loadedPolicy) error {
	for i := range policies {
		p := &policies[i]
		if p.Rollout == nil || p.InForce == 0 || p.InForce == p.Generation {
			continue
		}
		previous, err := kept.get(ctx, p.ID, p.uid, p.InForce)
		if err != nil {
			return err
		}
		p.Previous = previous
	}
	return nil
}
