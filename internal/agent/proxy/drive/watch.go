package drive

import (
	"context"
	"sync/atomic"
	"time"
)

// Watch cancels something that takes long when the client has gone.
type Watch struct {
	left, stopped atomic.Bool
	timer         *time.Timer
}

// WatchClient checks periodically whether the client has gone, and cancels when it has, until Stop.
func WatchClient(gone func() bool, cancel context.CancelFunc) *Watch {
	w := &Watch{}
	ready := make(chan struct{})
	w.timer = time.AfterFunc(FirstCheck, func() {
		<-ready
		if gone() {
			w.left.Store(true)
			cancel()
			return
		}
		w.timer.Reset(FirstCheck)
		if w.stopped.Load() { // in the meantime: the timer must not go on
			w.timer.Stop()
		}
	})
	close(ready)
	return w
}

// Stop ends the watch.
func (w *Watch) Stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

// Left reports whether the client was found to have gone.
func (w *Watch) Left() bool { return w.left.Load() }
