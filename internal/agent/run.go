package agent

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run works until ctx ends, then stops in order: no more policy; no more redirecting, so new connections go directly; calls
// under way end, for at most Options.Drain; then everything else. It returns the first error that made it stop.
func (a *Agent) Run(ctx context.Context) error {
	defer a.closeHost()
	// What others need stops last.
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	needed, base := errgroup.WithContext(base)
	defer a.names.Close()
	defer a.proxies.Close()
	needed.Go(func() error { return a.routes.Run(base) })
	needed.Go(func() error { return a.accessLog.Run(base) })
	if a.spans != nil {
		needed.Go(func() error { return a.spans.Run(base) })
	}
	needed.Go(func() error { return a.watcher.Run(base) })
	needed.Go(func() error { return a.detector.Run(base) })
	needed.Go(func() error { return a.servePages(base) })

	err := a.work(ctx, base)
	stopBase()
	if ferr := needed.Wait(); err == nil {
		err = ferr
	}
	return err
}

// work receives policy and captures calls until ctx ends or what it needs fails.
func (a *Agent) work(ctx, base context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(base, stop)
	capturing, endCaptures := context.WithCancel(context.WithoutCancel(ctx))
	defer endCaptures()

	var captures, subscription errgroup.Group
	captures.Go(func() error {
		defer stop() // an agent that captures nothing must not seem to work
		return a.capture.Run(capturing)
	})
	subscription.Go(func() error {
		defer stop()
		return a.client.Run(ctx)
	})
	<-ctx.Done()
	open := a.proxy.Open()
	a.opts.Log.Info("stopping", "idle", open.Idle, "busy", open.Busy, "tunnels", open.Tunnels, "passed", open.Passed, "drain", a.opts.Drain)
	start := time.Now()
	err := subscription.Wait()
	endCaptures()
	if derr := a.drain(&captures); err == nil {
		err = derr
	}
	a.logStopped(time.Since(start))
	return err
}

// drain ends the calls under way while the captures end. Connections are asked to end only once no pod is redirected any more, so that
// a client that connects again goes directly; those that the kernel had accepted by then are served to their end.
func (a *Agent) drain(captures *errgroup.Group) error {
	ctx, stop := context.WithCancel(context.Background())
	var draining sync.WaitGroup
	draining.Go(func() {
		a.awaitRedirectStopped(ctx)
		a.proxy.Drain(ctx)
	})
	err := captures.Wait() // waits for the connections, for at most Options.Drain, and then cuts them
	stop()
	draining.Wait()
	return err
}

// logStopped logs how the connections ended that were open when the stop began.
func (a *Agent) logStopped(took time.Duration) {
	if cut := a.capture.Stats().Cut; cut > 0 {
		a.opts.Log.Warn("stopped; connections were cut because they lasted longer than the drain", "cut", cut, "took", took)
		return
	}
	a.opts.Log.Info("stopped; all connections had ended", "took", took)
}

// awaitRedirectStopped waits until no pod is redirected any more but those that are served to the end, or ctx ends.
func (a *Agent) awaitRedirectStopped(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !a.capture.Stats().RedirectStopped {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
