package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// fieldOwner is the name under which status is applied.
const fieldOwner = "fairlead-manager"

// How often status is written. What a person or a tool waits for is written at once; figures and counts are not.
const (
	// trafficInterval is the least time between two writes of a policy's traffic figures.
	trafficInterval = 10 * time.Second
	// countInterval is the least time between two writes of a policy's other figures.
	countInterval = 2 * time.Second
	// lookInterval is how often agents' reports are looked at; they come that often.
	lookInterval = 5 * time.Second
	// letGoInterval is how often it is asked whether agents have let go of a policy; they do not say so by themselves.
	letGoInterval = 200 * time.Millisecond
	// changedInterval is when to look again at a policy that is not as the cache has it.
	changedInterval = 100 * time.Millisecond
	// patience is how long nodes may take to acknowledge what does not concern the policy's own generation.
	patience = 10 * time.Second
	// writesPerSecond and writeBurst bound the writes of all policies that nobody waits for.
	writesPerSecond, writeBurst = 8, 16
)

// agents is what the clerk asks about agents.
type agents interface {
	Rollout(id policy.ID) distribute.Rollout
	Traffic(id policy.ID) distribute.Figures
	Behind(revision uint64) int
}

// clerk writes the status of policies.
type clerk struct {
	// immutable
	client   client.Client
	index    *index
	agents   agents
	recorder events.EventRecorder
	clock    clock.PassiveClock
	budget   *rate.Limiter
	writes   func(class writeClass) // counts writes

	mu sync.Mutex
	// guarded by mu
	files map[policy.ID]*file
}

// file is what the clerk remembers of a policy.
type file struct {
	uid types.UID
	// version and status are those of the last write; the cache may still show an older one.
	version string
	status  *v1alpha1.PolicyStatus

	wroteAt, trafficAt time.Time
	breakers           breakerWatch
}

var _ reconcile.TypedReconciler[policy.ID] = (*clerk)(nil)

// Reconcile brings the status of one policy up to date.
func (c *clerk) Reconcile(ctx context.Context, id policy.ID) (reconcile.Result, error) {
	v, ok := c.index.view(id)
	if !ok {
		c.forget(id)
		return reconcile.Result{}, nil
	}
	if v.underWay {
		return reconcile.Result{}, nil // agents acknowledged what was before; the desk tells when there is more
	}
	obj, base, err := c.read(ctx, id)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil // deleted; the index hears of it next
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if obj.GetUID() != v.uid {
		return reconcile.Result{RequeueAfter: changedInterval}, nil // deleted and made again; the index hears of it next
	}
	f := c.file(id, v.uid)
	base = f.latest(obj, base)

	now := c.clock.Now()
	word := reported{rollout: c.agents.Rollout(id), figures: figuresOf(&v, c.agents.Traffic)}
	if len(v.profiles) > 0 && word.rollout.Desired == 0 {
		return reconcile.Result{RequeueAfter: changedInterval}, nil // other profiles have taken their place since; the desk tells next
	}
	if v.mode != v1alpha1.ModeEnforce && !wasProgrammed(&v, base) {
		word.behind = c.agents.Behind(v.toldWith)
	}
	word.patience = now.Sub(word.rollout.WaitingSince) < patience
	next := statusOf(&v, &word, base, metav1.NewTime(now.UTC().Truncate(time.Second)))
	f.breakers.look(c.recorder, obj, base, &word.figures)
	wait, err := c.write(ctx, obj, f, base, next)
	if err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case wait > 0:
	case word.behind > 0:
		wait = letGoInterval
	case len(v.profiles) > 0:
		wait = lookInterval
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

func (c *clerk) forget(id policy.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.files, id)
}

func (c *clerk) file(id policy.ID, uid types.UID) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[id]
	if f == nil || f.uid != uid {
		f = &file{uid: uid}
		c.files[id] = f
	}
	return f
}

// read returns a policy and its status from the cache.
func (c *clerk) read(ctx context.Context, id policy.ID) (client.Object, *v1alpha1.PolicyStatus, error) {
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

// latest returns the status last written, if the cache has not seen it yet, or else the cache's.
func (f *file) latest(obj client.Object, cached *v1alpha1.PolicyStatus) *v1alpha1.PolicyStatus {
	if f.ahead(obj) {
		return f.status
	}
	return cached
}

// newest returns the newest version known.
func (f *file) newest(obj client.Object) string {
	if f.ahead(obj) {
		return f.version
	}
	return obj.GetResourceVersion()
}

// ahead reports whether the status last written is newer than the cache's object.
func (f *file) ahead(obj client.Object) bool {
	if f.status == nil {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), f.version)
	return err == nil && order < 0
}

// writeClass says how urgent a write is.
type writeClass string

const (
	writeNone    writeClass = "none"
	writeEdge    writeClass = "edge"    // a condition or the generation changed
	writeCounts  writeClass = "counts"  // figures of the cluster changed
	writeTraffic writeClass = "traffic" // only figures of traffic changed
)

// classify says what makes next differ from base.
func classify(base, next *v1alpha1.PolicyStatus) writeClass {
	if base.ObservedGeneration != next.ObservedGeneration || base.Mode != next.Mode || len(base.Conditions) != len(next.Conditions) {
		return writeEdge
	}
	x, y := *base, *next
	x.Traffic, y.Traffic, x.Conditions = nil, nil, nil
	for i := range next.Conditions {
		b := &next.Conditions[i]
		a := meta.FindStatusCondition(base.Conditions, b.Type)
		if a == nil || a.Status != b.Status || a.Reason != b.Reason || a.ObservedGeneration != b.ObservedGeneration {
			return writeEdge
		}
		x.Conditions = append(x.Conditions, *a) // the API server keeps them in an order of its own
	}
	switch {
	case !equal(&x, &y):
		return writeCounts
	case !sameTraffic(base.Traffic, next.Traffic):
		return writeTraffic
	}
	return writeNone
}

// equal compares as the API server does: an empty list is an absent one.
func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// write writes next if it is time for it. Else it returns how long to wait.
func (c *clerk) write(ctx context.Context, obj client.Object, f *file, base, next *v1alpha1.PolicyStatus) (time.Duration, error) {
	now := c.clock.Now()
	fresh := next.Traffic
	if now.Sub(f.trafficAt) < trafficInterval || sameTraffic(base.Traffic, fresh) {
		next.Traffic = base.Traffic
	}
	class := classify(base, next)
	switch class {
	case writeNone:
		if sameTraffic(next.Traffic, fresh) {
			return 0, nil
		}
		return min(lookInterval, f.trafficAt.Add(trafficInterval).Sub(now)), nil
	case writeCounts, writeTraffic:
		if rest := f.wroteAt.Add(countInterval).Sub(now); rest > 0 {
			return rest, nil
		}
		if !c.budget.AllowN(now, 1) {
			return time.Second, nil
		}
	case writeEdge:
	}
	version, err := c.apply(ctx, obj, f, next)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if apierrors.IsConflict(err) {
		return changedInterval, nil
	}
	if err != nil {
		return 0, fmt.Errorf("write status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	c.writes(class)
	f.version, f.status, f.wroteAt = version, next, now
	if !sameTraffic(base.Traffic, next.Traffic) {
		f.trafficAt = now
	}
	recordEdges(c.recorder, obj, base, next)
	if len(base.Conditions) == 0 {
		return time.Millisecond, nil // the first answer was a provisional one
	}
	return 0, nil
}

// apply applies the status on the server and returns the version it made.
func (c *clerk) apply(ctx context.Context, obj client.Object, f *file, status *v1alpha1.PolicyStatus) (string, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
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
	u.SetResourceVersion(f.newest(obj)) // one of the same name made meanwhile must not get this one's status
	if err := c.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return "", err
	}
	return u.GetResourceVersion(), nil
}
