package capture

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxRenewWorkers bounds how many leases are renewed at the same time, each on an OS thread of its own if the kernel takes its time.
const maxRenewWorkers = 16

// leaseRenewer renews the leases of all doors that hold one, three times per lease. Mostly one goroutine does it for all, because a wake-up
// per door would cost several times what a renewal does. More help it where renewing is slow, which it is on kernels that cannot do
// it in place, and where the kernel holds one up: a pod that changes rules of its own all the time must not cost the others their
// leases.
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
func (k *leaseRenewer) run(ctx context.Context) {
	defer k.wg.Wait()
	interval := k.manager.options.Lease / 3
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.renewAll(ctx, interval/10)
	}
}

// renewAll goes through all doors once. It starts with somewhat fewer goroutines than the last time, has another help after every
// patience, and is over when one finds no door left: those that the kernel holds up are not waited for.
func (k *leaseRenewer) renewAll(ctx context.Context, patience time.Duration) {
	doors := k.manager.podCaptures()
	var next atomic.Int64
	done := make(chan struct{}, maxRenewWorkers)
	help := time.NewTicker(patience)
	defer help.Stop()
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(doors)); i = next.Add(1) - 1 {
			doors[i].lease.renew(doors[i])
		}
	}
	count := 0
	start := func() {
		select {
		case k.workers <- struct{}{}:
			count++
			k.wg.Go(func() { work(); <-k.workers; done <- struct{}{} })
		default: // as many as may be are at it
		}
	}
	for range max(1, k.lastCount-1) {
		start()
	}
	for {
		select {
		case <-done:
			k.lastCount = count
			return
		case <-help.C:
			start()
		case <-ctx.Done():
			return
		}
	}
}

// heldLease is the lease that a door holds, if it does.
type heldLease struct {
	mu   sync.Mutex // held while the kernel renews, so that letting go is final
	held Redirector // nil when no lease is to be renewed
}

// renew renews the lease if it is held and nobody else is at it. If that fails the lease is held no more. The door is woken then, and when
// the rules under it may have been changed, or its connections may have been forgotten, for which one of them stands.
func (l *heldLease) renew(d *podCapture) {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if l.held == nil {
		return
	}
	if l.held.Renew() != nil {
		l.held = nil
		d.wake()
		return
	}
	if l.held.Disturbed() {
		d.disturbed.Store(true)
		d.wake()
	}
	for _, one := range d.conns.mappings(1) {
		if !l.held.Remembers(one) {
			d.forgotten.Store(true)
			d.wake()
		}
	}
}

// hold starts a lease where none is held, and has it renewed from now on.
func (l *heldLease) hold(r Redirector) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == r {
		return nil
	}
	if err := r.Renew(); err != nil {
		l.held = nil
		return err
	}
	l.held = r
	return nil
}

// release has the lease renewed no more.
func (l *heldLease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = nil
}
