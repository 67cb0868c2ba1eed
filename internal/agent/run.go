package agent

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run works until ctx ends, then stops in order: no more policy; the doors close, so new connections go directly; calls under
// way end, for at most Options.Grace; then everything else. It returns the first error that made it stop.
func (a *Agent) Run(ctx context.Context) error {
	defer a.closeHost()
	// Rooms that others lean on stop last.
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	foundation, base := errgroup.WithContext(base)
	foundation.Go(func() error { return a.store.Run(base) })
	foundation.Go(func() error { return a.accessLog.Run(base) })
	foundation.Go(func() error { return a.watcher.Run(base) })
	foundation.Go(func() error { return a.servePages(base) })

	err := a.work(ctx, base)
	stopBase()
	if ferr := foundation.Wait(); err == nil {
		err = ferr
	}
	return err
}

// work receives policy and captures calls until ctx ends or the foundation fails.
func (a *Agent) work(ctx, base context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(base, stop)
	closing, closeDoors := context.WithCancel(context.WithoutCancel(ctx))
	defer closeDoors()

	var doors, letterbox errgroup.Group
	doors.Go(func() error {
		defer stop() // an agent without doors must not pretend to work
		return a.capture.Run(closing)
	})
	letterbox.Go(func() error {
		defer stop()
		return a.client.Run(ctx)
	})
	<-ctx.Done()
	a.opts.Log.Info("stopping", "connections", a.proxy.Connections())
	err := letterbox.Wait()
	closeDoors()
	a.drain()
	if derr := doors.Wait(); err == nil {
		err = derr
	}
	return err
}

// doorsTimeout bounds how long a stop waits for the doors to close before it drains all the same.
const doorsTimeout = 5 * time.Second

// drain ends the calls under way. It begins when no door is open any more: a connection accepted later would be turned away.
func (a *Agent) drain() {
	deadline := time.NewTimer(doorsTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for a.capture.Stats().Captured > 0 {
		select {
		case <-tick.C:
			continue
		case <-deadline.C:
			a.opts.Log.Warn("some doors did not close in time")
		}
		break
	}
	ctx, stop := context.WithTimeout(context.Background(), a.opts.Grace)
	defer stop()
	if err := a.proxy.Shutdown(ctx); err != nil {
		a.opts.Log.Warn("connections were cut because they did not end in time", "reason", err)
	}
}
