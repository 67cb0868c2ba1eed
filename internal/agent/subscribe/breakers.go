package subscribe

import (
	"context"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// viewInterval is how often the breakers that the cluster shares are looked at. What has changed is reported.
const viewInterval = 100 * time.Millisecond

// Breakers are the breakers of the node that the nodes of the cluster share. Calls of its methods may come from several goroutines.
type Breakers interface {
	// BreakerReports says how the node sees each.
	BreakerReports(now time.Time) []policy.BreakerReport
	// ObeyBreakers puts decisions of the manager in force.
	ObeyBreakers(now time.Time, verdicts []policy.BreakerVerdict)
	// ReleaseBreakers says that the manager is not heard of any more.
	ReleaseBreakers()
}

// breakerReporter reports breakers on one subscription, once the manager has said that it takes reports.
type breakerReporter struct {
	breakers Breakers // nil: there is nothing to report
	running  bool
	sent     map[policy.BreakerKey]policy.BreakerReport // of run; what is not in it is idle
}

func newBreakerReporter(b Breakers) *breakerReporter {
	return &breakerReporter{breakers: b, sent: map[policy.BreakerKey]policy.BreakerReport{}}
}

// take takes in an update about breakers. With the first one reporting begins.
func (r *breakerReporter) take(ctx context.Context, wg *sync.WaitGroup, stream wire.SubscribeClient, u wire.Update) {
	if r.breakers == nil || !u.TakesBreakers {
		return
	}
	r.breakers.ObeyBreakers(time.Now(), u.Breakers)
	if !r.running {
		r.running = true
		wg.Go(func() { r.run(ctx, stream) })
	}
}

func (r *breakerReporter) released() {
	if r.running {
		r.breakers.ReleaseBreakers()
	}
}

// run reports until ctx or the stream ends; the goroutine that receives learns of that.
func (r *breakerReporter) run(ctx context.Context, stream wire.SubscribeClient) {
	tick := time.NewTicker(viewInterval)
	defer tick.Stop()
	for {
		if list := r.changed(r.breakers.BreakerReports(time.Now())); len(list) > 0 && stream.ReportBreakers(list) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// changed returns what has changed since it was reported, as much as fits a message.
func (r *breakerReporter) changed(now []policy.BreakerReport) (list []policy.BreakerReport) {
	seen := make(map[policy.BreakerKey]bool, len(now))
	for _, is := range now {
		seen[is.Key] = true
		old, known := r.sent[is.Key]
		if is == old || !known && is.View == policy.BreakerIdle && is.Number == 0 || len(list) == wire.MaxBreakers {
			continue
		}
		r.sent[is.Key] = is
		list = append(list, is)
	}
	for k := range r.sent {
		if !seen[k] && len(list) < wire.MaxBreakers { // it is no more
			delete(r.sent, k)
			list = append(list, policy.BreakerReport{Key: k})
		}
	}
	return list
}
