package kube

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// watchAgain is how long it takes until a watch that the server has ended is opened again.
const watchAgain = time.Second

// watched says when policies change.
type watched struct {
	changes chan struct{} // something comes on it after each change
	failed  chan error
	again   *Again
	err     error
	stop    func()
}

// watch watches the policies, if the flags ask for it.
func (l *Listing) watch(ctx context.Context, c client.WithWatch) (*watched, error) {
	w := &watched{changes: make(chan struct{}, 1), failed: make(chan error, 2), again: NewAgain(l.env), stop: func() {}}
	if !l.Watch {
		return w, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	w.stop = func() {
		cancel()
		running.Wait()
	}
	if l.Every > 0 {
		running.Go(func() { w.tick(ctx, l.Every) })
		return w, nil
	}
	options, err := l.Options()
	if err != nil {
		w.stop()
		return nil, err
	}
	for _, list := range []client.ObjectList{&v1alpha1.RetryPolicyList{}, &v1alpha1.ClusterRetryPolicyList{}} {
		open := func() (watch.Interface, error) { return c.Watch(ctx, list, options) }
		first, err := open()
		if err != nil {
			w.stop()
			return nil, Explain(err, "watch policies")
		}
		running.Go(func() { w.follow(ctx, first, open) })
	}
	return w, nil
}

// follow passes the events of a watch on, and opens it again when the server ends it, as it does from time to time.
func (w *watched) follow(ctx context.Context, from watch.Interface, open func() (watch.Interface, error)) {
	for {
		w.events(ctx, from)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
		err := w.again.Until(ctx, func() (err error) {
			from, err = open()
			return Explain(err, "watch policies")
		})
		if err != nil {
			w.failed <- err
			return
		}
		w.changed() // what was deleted meanwhile is no event of a watch that begins
	}
}

func (w *watched) events(ctx context.Context, from watch.Interface) {
	defer from.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-from.ResultChan():
			if !ok {
				return
			}
		}
		w.changed()
	}
}

func (w *watched) changed() {
	select {
	case w.changes <- struct{}{}:
	default: // which is still to be looked at
	}
}

// tick says again and again that something may have changed.
func (w *watched) tick(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.changed()
		}
	}
}

// next waits for a change. It is false at the end, and err says why if it is not ctx that has ended.
func (w *watched) next(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case w.err = <-w.failed:
		return false
	case <-w.changes:
		return true
	}
}
