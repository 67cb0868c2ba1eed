package capture

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxKeepers bounds how many leases are renewed at the same time, each on an OS thread of its own if the kernel takes its time.
const maxKeepers = 16

// keepLeases renews the leases of all doors that hold one, three times per lease, until ctx ends. One goroutine does it for all,
// because a wake-up per door would cost several times what a renewal does; more help it where renewing is slow, which it is on
// kernels that cannot do it in place.
func (m *Manager) keepLeases(ctx context.Context) {
	interval := m.options.Lease / 3
	tick := time.NewTicker(interval)
	defer tick.Stop()
	keepers := 1
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		start := time.Now()
		m.renewAll(keepers)
		work := time.Since(start) * time.Duration(keepers)
		keepers = min(1+int(work/(interval/10)), maxKeepers)
	}
}

func (m *Manager) renewAll(keepers int) {
	m.mu.Lock()
	doors := make([]*door, 0, len(m.doors))
	for _, d := range m.doors {
		doors = append(doors, d)
	}
	m.mu.Unlock()
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(doors)); i = next.Add(1) - 1 {
			doors[i].lease.renew(doors[i].poke)
		}
	}
	var wg sync.WaitGroup
	for range keepers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// leaseOf is the lease that a door holds, if it does.
type leaseOf struct {
	mu   sync.Mutex // held while the kernel renews, so that letting go is final
	held Redirector // nil when no lease is to be renewed
}

// renew renews the lease if it is held; if that fails the lease is held no more and lost is called.
func (l *leaseOf) renew(lost func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		return
	}
	if l.held.Renew() != nil {
		l.held = nil
		lost()
	}
}

// hold starts another lease and has it renewed from now on.
func (l *leaseOf) hold(r Redirector) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		return nil
	}
	if err := r.Renew(); err != nil {
		return err
	}
	l.held = r
	return nil
}

// letGo has the lease renewed no more.
func (l *leaseOf) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = nil
}
