package controller

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// jobsPerWorker is how many jobs of a large change a worker compiles before pods that have just started get their turn.
const jobsPerWorker = 16

// publisher takes changes to the agents.
type publisher interface {
	Publish(b *distribute.Batch) error
	Revision() uint64
	Serving() *distribute.ServingSwitch
}

// compiler compiles and publishes what the index says has changed. It compiles on all cores and outside the index's lock, and what pods
// that have just started need before all else.
type compiler struct {
	// immutable
	index    *index.Index
	agents   publisher
	statuses func([]policy.ID) // enqueues policies whose status may have changed
	logger   *slog.Logger
	wake     chan struct{} // size 1: the index was changed
}

var (
	_ manager.Runnable               = (*compiler)(nil)
	_ manager.LeaderElectionRunnable = (*compiler)(nil)
)

func newCompiler(x *index.Index, agents publisher, statuses func([]policy.ID), logger *slog.Logger) *compiler {
	return &compiler{index: x, agents: agents, statuses: statuses, logger: logger, wake: make(chan struct{}, 1)}
}

// NeedLeaderElection has only the replica that leads serve agents.
func (c *compiler) NeedLeaderElection() bool { return true }

// changed wakes the compiler. Nothing may call it before the index holds the whole cluster.
func (c *compiler) changed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Start works until ctx ends. Agents are let in once the whole cluster has been published, and sent away at the end. Were they let in
// earlier, they would drop policies that are merely not compiled yet.
func (c *compiler) Start(ctx context.Context) error {
	defer c.agents.Serving().Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		began := time.Now()
		c.publishAll(ctx)
		if first {
			c.agents.Serving().Start()
			c.logger.InfoContext(ctx, "serving agents", "dur", time.Since(began))
		}
	}
}

// publishAll compiles and publishes all that has changed as one batch. A large change does not hold up pods that start meanwhile: what these
// need is published between its parts.
func (c *compiler) publishAll(ctx context.Context) {
	c.publishUrgent(ctx)
	jobs := c.index.Take()
	workers := runtime.GOMAXPROCS(0)
	for rest := jobs; len(rest) > 0; {
		part := rest[:min(len(rest), workers*jobsPerWorker)]
		if rest = rest[len(part):]; len(part) < len(jobs) {
			c.publishUrgent(ctx)
		}
		compileAll(part, workers)
	}
	changes, statuses := c.index.Publish(jobs)
	c.publish(ctx, changes)
	c.index.Published(c.agents.Revision())
	c.statuses(statuses)
}

// publishUrgent compiles and publishes what pods that have just started need.
func (c *compiler) publishUrgent(ctx context.Context) {
	jobs := c.index.TakeUrgent()
	compileAll(jobs, runtime.GOMAXPROCS(0))
	c.publish(ctx, c.index.PublishUrgent(jobs))
}

func (c *compiler) publish(ctx context.Context, changes *index.Changes) {
	b := encode(changes, runtime.GOMAXPROCS(0))
	if b.Len() == 0 {
		return
	}
	if err := c.agents.Publish(b); err != nil {
		// The resources named keep their previous version; trying again would give the same.
		c.logger.ErrorContext(ctx, "cannot publish a change whole", "err", err)
	}
}

// encode encodes changes with so many workers.
func encode(changes *index.Changes, workers int) *distribute.Batch {
	parts := changes.Split(workers)
	batches := make([]distribute.Batch, len(parts))
	forEach(len(parts), workers, func(i int) { parts[i].SendTo(&batches[i]) })
	for i := 1; i < len(batches); i++ {
		batches[0].Append(&batches[i])
	}
	return &batches[0]
}

// compileAll compiles jobs with so many workers.
func compileAll(jobs []*index.Job, workers int) {
	forEach(len(jobs), workers, func(i int) { jobs[i].Compile() })
}

// forEach calls do for 0 to n-1, with so many workers, and returns when all is done.
func forEach(n, workers int, do func(i int)) {
	if n == 1 || workers == 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}
