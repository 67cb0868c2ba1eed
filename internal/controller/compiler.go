package controller

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// retryInterval is when to try again after a panic, if nothing changes before.
const retryInterval = 5 * time.Second

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
	retry := time.NewTimer(never)
	defer retry.Stop()
	for serving := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-retry.C:
		}
		began := time.Now()
		if err := recoverPanic(func() { c.publishAll(ctx) }); err != nil {
			c.logger.ErrorContext(ctx, "cannot compile or publish", "err", err)
			retry.Reset(retryInterval)
			continue
		}
		if !serving {
			c.agents.Serving().Start()
			c.logger.InfoContext(ctx, "serving agents", "took", time.Since(began))
			serving = true
		}
	}
}

// recoverPanic returns a panic of do as an error. One policy that cannot be compiled must not keep the manager from all else it does.
func recoverPanic(do func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	do()
	return nil
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
