package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

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

// How often status is written. What a person or a tool waits for is written at once; figures and counts wait for a turn.
const (
	// trafficInterval is the least time between two writes of a policy's traffic figures.
	trafficInterval = 10 * time.Second
	// countInterval is the least time between two writes of a policy's other figures.
	countInterval = 2 * time.Second
	// lookInterval is how often agents' reports are looked at; they come that often.
	lookInterval = 5 * time.Second
	// looksPerSecond bounds the looks at policies of which there turns out to be nothing to write.
	looksPerSecond = 100
	// letGoInterval is how often it is asked whether agents have let go of a policy; they do not say so by themselves.
	letGoInterval = 200 * time.Millisecond
	// changedInterval is when to look again at a policy that is not as the cache has it.
	changedInterval = 100 * time.Millisecond
	// patience is how long nodes may take to acknowledge what does not concern the policy's own generation.
	patience = 10 * time.Second
	// writesPerSecond and writeBurst bound the writes of all policies that nobody waits for: see turns.
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
	turns    *turns
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

	knownSince         time.Time // when this manager looked at the policy first
	wroteAt, trafficAt time.Time
	breakers           breakerWatch
	notices            noticeWatch
}

var _ reconcile.TypedReconciler[policy.ID] = (*clerk)(nil)

// Reconcile brings the status of one policy up to date: because something happened that somebody may wait for, or because it is its turn.
func (c *clerk) Reconcile(ctx context.Context, id policy.ID) (reconcile.Result, error) {
	turn := c.turns.take(id)
	l, err := c.look(ctx, id, turn)
	if turn && !l.wrote {
		c.turns.refund()
	}
	return reconcile.Result{RequeueAfter: l.again}, err
}

// looked is the outcome of a look at a policy.
type looked struct {
	wrote bool
	again time.Duration // when to look again, without a turn, if that is not zero
}

func (c *clerk) look(ctx context.Context, id policy.ID, turn bool) (looked, error) {
	v, ok := c.index.view(id)
	if !ok {
		c.forget(id)
		return looked{}, nil
	}
	if v.underWay {
		return looked{}, nil // agents acknowledged what was before; the desk tells when there is more
	}
	obj, base, err := c.read(ctx, id)
	if apierrors.IsNotFound(err) {
		return looked{}, nil // deleted; the index hears of it next
	}
	if err != nil {
		return looked{}, err
	}
	if obj.GetUID() != v.uid {
		return looked{again: changedInterval}, nil // deleted and made again; the index hears of it next
	}
	f := c.file(id, v.uid)
	base = f.latest(obj, base)

	now := c.clock.Now()
	word := c.ask(&v, base)
	word.waited = now.Sub(f.knownSince)
	if len(v.profiles) > 0 && word.rollout.Desired == 0 {
		return looked{again: changedInterval}, nil // other profiles have taken their place since; the desk tells next
	}
	left := patience - now.Sub(word.rollout.WaitingSince)
	word.patience = left > 0
	next := statusOf(&v, &word, base, metav1.NewTime(now.UTC().Truncate(time.Second)))
	f.breakers.look(c.recorder, obj, base, &word.figures)
	f.notices.look(c.recorder, obj, base, &word.figures)
	l, err := c.write(ctx, obj, &writing{id: id, file: f, base: base, next: next, turn: turn, figures: len(v.reports) > 0})
	switch {
	case err != nil || l.again > 0:
	case word.behind > 0:
		l.again = letGoInterval
	case word.patience && word.rollout.Pending > 0:
		l.again = left
	}
	return l, err
}

// ask asks what agents say of a policy.
func (c *clerk) ask(v *view, base *v1alpha1.PolicyStatus) reported {
	word := reported{rollout: c.agents.Rollout(v.id), figures: figuresOf(v, c.agents.Traffic)}
	if v.mode != v1alpha1.ModeEnforce && !wasProgrammed(v, base) {
		word.behind = c.agents.Behind(v.toldWith)
	}
	return word
}

func (c *clerk) forget(id policy.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.files, id)
	c.turns.forget(id)
}

func (c *clerk) file(id policy.ID, uid types.UID) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[id]
	if f == nil || f.uid != uid {
		f = &file{uid: uid, knownSince: c.clock.Now()}
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
	case !equal(&x, &y), !sameBreaker(base.Traffic, next.Traffic):
		return writeCounts
	case !sameTraffic(base.Traffic, next.Traffic):
		return writeTraffic
	}
	return writeNone
}

// equal compares as the API server does: an empty list is an absent one.
func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// writing is a status that may be due for writing.
type writing struct {
	id         policy.ID
	file       *file
	base, next *v1alpha1.PolicyStatus
	turn       bool // it is the policy's turn
	figures    bool // there are figures to look at later
	held       bool // there are newer figures, which may not be written yet
}

// write writes the status if it is time for it. Else the policy waits for its turn.
func (c *clerk) write(ctx context.Context, obj client.Object, w *writing) (looked, error) {
	now, f := c.clock.Now(), w.file
	class, due := w.class(now)
	if !due {
		c.wait(w, class, now)
		return looked{}, nil
	}
	version, err := c.apply(ctx, obj, f, w.next)
	if apierrors.IsNotFound(err) {
		return looked{}, nil
	}
	if apierrors.IsConflict(err) {
		return looked{again: changedInterval}, nil
	}
	if err != nil {
		return looked{}, fmt.Errorf("write status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	c.writes(class)
	f.version, f.status, f.wroteAt = version, w.next, now
	if !sameTraffic(w.base.Traffic, w.next.Traffic) {
		f.trafficAt = now
	}
	recordEdges(c.recorder, obj, w.base, w.next)
	c.lookLater(w, now)
	if len(w.base.Conditions) == 0 {
		return looked{wrote: true, again: time.Millisecond}, nil // the first answer was a provisional one
	}
	return looked{wrote: true}, nil
}

// class says what there is to write, and whether it may be written now. Figures that were written only just now are left as they are.
func (w *writing) class(now time.Time) (class writeClass, due bool) {
	fresh := w.next.Traffic
	if sameTraffic(w.base.Traffic, fresh) {
		w.next.Traffic = w.base.Traffic
	} else if now.Sub(w.file.trafficAt) < trafficInterval && sameBreaker(w.base.Traffic, fresh) {
		w.next.Traffic, w.held = w.base.Traffic, true
	}
	switch class = classify(w.base, w.next); class {
	case writeEdge:
		return class, true
	case writeCounts:
		return class, w.turn && !w.countsAt().After(now)
	case writeTraffic:
		return class, w.turn
	case writeNone:
	}
	return class, false
}

// countsAt is when counts may be written again.
func (w *writing) countsAt() time.Time { return w.file.wroteAt.Add(countInterval) }

// sameBreaker reports whether both are figures, or none, and show the same breakers. Figures of pods that are gone must not stand for others,
// and ten seconds are long for who asks why calls fail.
func sameBreaker(a, b *v1alpha1.TrafficStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Breaker == b.Breaker
}

// wait has a policy that is not written now wait for its turn.
func (c *clerk) wait(w *writing, class writeClass, now time.Time) {
	switch {
	case class == writeCounts:
		c.turns.want(w.id, turnCounts, w.countsAt())
	case class == writeTraffic || w.held:
		c.turns.want(w.id, turnFigures, w.file.trafficAt.Add(trafficInterval))
	default:
		c.lookLater(w, now)
	}
}

// lookLater has the policy's figures looked at when there may be others. Where there are very many policies that is not as often as
// agents report.
func (c *clerk) lookLater(w *writing, now time.Time) {
	if !w.figures {
		return
	}
	pace := time.Duration(c.turns.size()) * time.Second / looksPerSecond
	due := now.Add(max(lookInterval, pace))
	if next := w.file.trafficAt.Add(trafficInterval); next.After(due) {
		due = next
	}
	c.turns.want(w.id, turnFigures, due)
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
