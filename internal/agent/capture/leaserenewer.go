package capture

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxRenewWorkers bounds how many leases are renewed at the same time, each on an OS thread of its own if the kernel takes its time.
const maxRenewWorkers = 16

// leaseRenewer renews all leases that are held, three times per lease. Mostly one goroutine does it for all, because a wake-up per pod
// would cost several times what a renewal does. More help it where renewing is slow, which it is on kernels that cannot do it in
// place, and where the kernel holds one up: a pod that changes rules of its own all the time must not cost the others their leases.
type leaseRenewer struct {
	manager   *Manager
	workers   chan struct{} // taken by the goroutines that renew
	wg        sync.WaitGroup
	lastCount int // how many renewed the last time
}

func newLeaseRenewer(m *Manager) *leaseRenewer {
	return &leaseRenewer{manager: m, workers: make(chan struct{}, maxRenewWorkers), lastCount: 1}
}

// run renews until ctx ends.
func (r *leaseRenewer) run(ctx context.Context) {
	defer r.wg.Wait()
	interval := r.manager.options.Lease / 3
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.renewAll(ctx, interval/10)
	}
}

// renewAll goes through all pods once. It starts with somewhat fewer goroutines than the last time, has another help after every
// helpAfter, and is over when one finds no pod left: those that the kernel holds up are not waited for.
func (r *leaseRenewer) renewAll(ctx context.Context, helpAfter time.Duration) {
	round := renewRound{pods: r.manager.podCaptures(), done: make(chan struct{}, maxRenewWorkers)}
	help := time.NewTicker(helpAfter)
	defer help.Stop()
	count := 0
	for range max(1, r.lastCount-1) {
		count += r.start(&round)
	}
	for {
		select {
		case <-round.done:
			r.lastCount = count
			return
		case <-help.C:
			count += r.start(&round)
		case <-ctx.Done():
			return
		}
	}
}

// start has one more goroutine work on a round, unless as many as may be do. It says how many were started.
func (r *leaseRenewer) start(round *renewRound) int {
	select {
	case r.workers <- struct{}{}:
		r.wg.Go(func() {
			round.work()
			<-r.workers
			round.done <- struct{}{}
		})
		return 1
	default:
		return 0
	}
}

// renewRound is one round through all pods, shared by those who work on it.
type renewRound struct {
	pods []*podCapture
	next atomic.Int64
	done chan struct{} // with capacity for all workers
}

func (r *renewRound) work() {
	for i := r.next.Add(1) - 1; i < int64(len(r.pods)); i = r.next.Add(1) - 1 {
		r.pods[i].lease.renew(r.pods[i])
	}
}
