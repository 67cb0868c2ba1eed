package controller

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"fairlead.dev/fairlead/internal/policy"
)

// scheduleRunner enqueues the policies whose turn it is to have their status written.
type scheduleRunner struct {
	schedule *writeSchedule
	clock    clock.PassiveClock
	enqueue  func([]policy.ID)
}

var (
	_ manager.Runnable               = (*scheduleRunner)(nil)
	_ manager.LeaderElectionRunnable = (*scheduleRunner)(nil)
)

// NeedLeaderElection keeps replicas that do not lead from writing.
func (r *scheduleRunner) NeedLeaderElection() bool { return true }

// Start gives turns until ctx ends.
func (r *scheduleRunner) Start(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.schedule.wake:
		}
		for {
			id, wait, ok := r.schedule.next(r.clock.Now())
			if !ok {
				timer.Reset(wait)
				break
			}
			r.enqueue([]policy.ID{id})
		}
	}
}
