package references

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// How often is asked again for an API that the cluster does not have, and after an error.
const (
	unservedInterval   = 5 * time.Minute
	minRetry, maxRetry = 500 * time.Millisecond, 15 * time.Second
)

// errUnserved says that the cluster does not have the API.
var errUnserved = errors.New("the cluster does not serve it")

// object is one object that is read. It is the store of its reflector.
type object struct {
	// immutable
	watcher *Watcher
	ref     compile.Reference
	stop    context.CancelFunc

	// guarded by Watcher.mu
	known  compile.Referent // without the time and the hint
	next   time.Time        // when it comes to something else though it does not change; zero for never
	unused bool             // nobody referred to it at the last check
}

var _ cache.ReflectorStore = (*object)(nil)

// run reads the object until ctx ends. A right that is granted, or an API server that is back, is noticed within maxRetry.
func (o *object) run(ctx context.Context) {
	wait := minRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := o.readOnce(ctx)
		o.failed(ctx, err)
		if err == nil || time.Since(began) > maxRetry {
			wait = minRetry
		}
		if errors.Is(err, errUnserved) {
			wait = unservedInterval
		}
		pause(ctx, wait/2+rand.N(wait/2))
		wait = min(2*wait, maxRetry)
	}
}

// readOnce lists and watches the object until that ends.
func (o *object) readOnce(ctx context.Context) error {
	lw, example, err := o.source()
	if err != nil {
		return err
	}
	return cache.NewReflectorWithOptions(lw, example, o, cache.ReflectorOptions{Name: "references"}).ListAndWatchWithContext(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// failed takes note of an error of the API server. What was known stays known, unless the right to read it was taken away.
func (o *object) failed(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil, err == nil, errors.Is(err, io.EOF), apierrors.IsResourceExpired(err), apierrors.IsGone(err): // the watch has ended in good order
	case apierrors.IsForbidden(err):
		o.set(compile.Referent{Presence: compile.Forbidden})
	case errors.Is(err, errUnserved):
		o.set(compile.Referent{Presence: compile.Unserved})
	default:
		o.watcher.opts.Logger.WarnContext(ctx, "cannot read what a policy refers to, trying again", "object", o.ref, "err", err)
	}
}

// set takes note of what is known now.
func (o *object) set(known compile.Referent) {
	w := o.watcher
	w.mu.Lock()
	first := o.known.Presence == compile.Unread
	changed := first || o.known.Presence != known.Presence || !maps.EqualFunc(o.known.Data, known.Data, func(a, b []byte) bool { return string(a) == string(b) })
	o.known = known
	o.setNext(time.Now())
	if first {
		close(w.read)
		w.read = make(chan struct{})
	}
	w.mu.Unlock()
	if changed {
		w.opts.Changed([]compile.Reference{o.ref})
	}
}

// setNext works out when the object comes to something else. It is called with mu held.
func (o *object) setNext(now time.Time) { o.next, _ = compile.NextChange(o.known.Data, now) }

// Add implements cache.ReflectorStore, as do the methods below.
func (o *object) Add(obj any) error {
	o.set(compile.NewReferent(dataOf(obj)))
	return nil
}

// Update is Add.
func (o *object) Update(obj any) error { return o.Add(obj) }

// Delete takes note that the object is gone.
func (o *object) Delete(any) error {
	o.set(compile.Referent{Presence: compile.Absent})
	return nil
}

// Replace gets what a list returned: the object or nothing.
func (o *object) Replace(list []any, _ string) error {
	if len(list) == 0 {
		return o.Delete(nil)
	}
	return o.Add(list[0])
}

// Resync does nothing.
func (o *object) Resync() error { return nil }

// configMapData returns all entries of a ConfigMap.
func configMapData(c *corev1.ConfigMap) map[string][]byte {
	out := maps.Clone(c.BinaryData)
	if out == nil {
		out = map[string][]byte{}
	}
	for k, v := range c.Data {
		out[k] = []byte(v)
	}
	return out
}
