package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/liveapi"
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
	return liveapi.Serve(ctx, "metrics and health", a.opts.HTTPAddress, a.pages)
}
