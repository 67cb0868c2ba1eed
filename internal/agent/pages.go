package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
)

// ready says what is missing before this agent enforces policy.
func (a *Agent) ready() error {
	if a.client.State().Source == subscribe.SourceNone {
		return errors.New("no policy yet: neither the manager nor a copy on disk has given any")
	}
	if err := a.watcher.Err(); err != nil {
		return fmt.Errorf("the container runtime does not answer: %w", err)
	}
	return nil
}

// config is what /debug/config shows.
func (a *Agent) config() any {
	return struct {
		Node     string
		State    subscribe.State
		Captures []capture.PodState
		// Translated reports whether the addresses of Services of each family are translated before connections are captured.
		Translated socketlb.Answers
		// Shares are the node's of limits that the cluster shares.
		Shares   []routes.ShareState
		Snapshot any
	}{a.opts.Node, a.client.State(), a.capture.State(), a.detector.Now(), a.routes.Shares(), a.client.Snapshot()}
}

// endpoints is what /debug/endpoints shows.
func (a *Agent) endpoints() any { return a.routes.Endpoints(time.Now()) }

// servePages serves metrics, health and debugging until ctx ends.
func (a *Agent) servePages(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.opts.HTTPAddress)
	if err != nil {
		return fmt.Errorf("serve metrics and health: %w", err)
	}
	// Idle and dawdling readers would use up the descriptors that captured connections need.
	srv := &http.Server{
		Handler: a.pages, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	var group errgroup.Group
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return group.Wait()
}
