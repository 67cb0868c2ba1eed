package capture

import (
	"sync"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
)

// heldLease is the lease of one pod's redirect, while it is held.
type heldLease struct {
	mu   sync.Mutex           // held while the kernel renews, so that releasing is final
	held mechanism.Attachment // nil when no lease is to be renewed
}

// renew renews the lease if it is held and nobody else is at it. If that fails the lease is held no more. The podCapture is woken then, and
// when what is installed may have been changed, or its connections may have been forgotten, for which one of them stands.
func (l *heldLease) renew(p *podCapture) {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if l.held == nil {
		return
	}
	health, err := l.held.Renew(p.conns.sample())
	if err != nil {
		l.held = nil
		p.wake()
		return
	}
	if health.Disturbed {
		p.disturbed.Store(true)
	}
	if health.Forgotten {
		p.forgotten.Store(true)
	}
	if health.Disturbed || health.Forgotten {
		p.wake()
	}
}

// hold starts a lease where none is held, and has it renewed from now on.
func (l *heldLease) hold(a mechanism.Attachment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == a {
		return nil
	}
	if _, err := a.Renew(mechanism.Connection{}); err != nil {
		l.held = nil
		return err
	}
	l.held = a
	return nil
}

// release has the lease renewed no more.
func (l *heldLease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = nil
}
