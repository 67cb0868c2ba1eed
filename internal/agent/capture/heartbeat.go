package capture

import (
	"context"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
)

// missesTolerated is how many heartbeats may fail in a row before pods count as not captured: until then the kernel goes on redirecting.
const missesTolerated = 2

// heartbeat gives the mechanism's sign of life for the whole node, if it has one.
type heartbeat struct {
	mechanism.Heartbeat
	changed func() // called whenever it begins to fail, or works again

	failing atomic.Pointer[error]
	misses  int // used only by whoever beats
}

// failure says why the kernel redirects nowhere on the node; nil if it does.
func (h *heartbeat) failure() error {
	if err := h.failing.Load(); err != nil {
		return *err
	}
	return nil
}

// begin sends the first heartbeat; nothing is redirected before it.
func (h *heartbeat) begin() {
	if h.Beat == nil {
		return
	}
	h.misses = missesTolerated // the kernel has seen none yet
	h.beat()
}

// run gives heartbeats until ctx ends.
func (h *heartbeat) run(ctx context.Context) {
	if h.Beat == nil {
		return
	}
	tick := time.NewTicker(h.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.beat()
		}
	}
}

func (h *heartbeat) beat() {
	err := h.Beat()
	before := h.failing.Load()
	switch {
	case err == nil:
		h.misses = 0
		h.failing.Store(nil)
	case h.misses < missesTolerated:
		h.misses++
	default:
		h.failing.Store(&err)
	}
	if (before == nil) != (h.failing.Load() == nil) {
		h.changed()
	}
}
