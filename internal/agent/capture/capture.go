package capture

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
)

// capture opens what is not open, installs what is not installed or not intact any more, and takes the lease.
func (p *podCapture) capture(g goal) error {
	r := g.spec.Redirect
	p.redirectStopped = false
	if err := p.attach(); err != nil {
		return err
	}
	if err := p.listen(); err != nil {
		return err
	}
	if passive, err := p.install(r, g.changed); err != nil || passive {
		return failed(ReasonRules, err)
	}
	if err := p.overload(); err != nil && !r.FailClosed {
		return p.yieldLease(err)
	}
	p.yielded = false
	if err := p.takeLease(g); err != nil {
		return failed(ReasonRules, err)
	}
	if !p.superseded {
		if err := p.completeFamilies(g); err != nil {
			return failed(ReasonRules, err)
		}
		p.restore()
		p.inspect(g)
	}
	if err := p.manager.heartbeat.failure(); err != nil && !r.FailClosed {
		return failed(ReasonRules, err)
	}
	return nil
}

// attach enters the sandbox.
func (p *podCapture) attach() error {
	if p.attached != nil {
		return nil
	}
	a, err := p.manager.attach(p.sandbox.NetNS)
	if err != nil {
		return err
	}
	p.attached = a
	p.reachable.Store(a)
	return nil
}

// listen opens the listeners, on the port that connections are redirected to already if they are.
func (p *podCapture) listen() error {
	if p.listeners != nil {
		return nil
	}
	ns := p.attached.ns
	if err := ns.MigrateRequests(); err != nil {
		// A container's /proc/sys is often read-only. The listeners' own order makes up for it.
		p.manager.options.Log.Debug("connection requests do not migrate", "pod", p.sandbox.Pod.Name, "namespace", p.sandbox.Pod.Namespace,
			"err", err)
	}
	port, err := p.attached.Found()
	if err != nil {
		return failed(ReasonRules, err)
	}
	if port == 0 {
		port = p.manager.options.Port
	}
	l, err := listen(ns, port)
	if err != nil {
		return failed(ReasonListen, err)
	}
	l.attached = p.attached
	p.listeners, p.found, p.installed = l, true, 0
	l.serve(hooks{
		listening: func() (turn, done func()) { return p.manager.options.Listening(p.sandbox.Pod) },
		accepted:  func(at netip.AddrPort, conn *os.File) { p.accept(l, at, conn) },
		failed:    p.acceptFailed,
	})
	return nil
}

// completeFamilies has connections redirected of a family that the pod did not have before. It expects the lease: no other agent has taken over.
func (p *podCapture) completeFamilies(g goal) error {
	if !p.listeners.complete(p.attached.ns) {
		return nil
	}
	p.inspection.inspectAll() // what was open is older
	p.installed = 0
	_, err := p.install(g.spec.Redirect, g.changed)
	return err
}

// wanted is what the mechanism is to do.
func (p *podCapture) wanted(r intent.Redirect) mechanism.Intent {
	return mechanism.Intent{Redirect: r, Port: p.listeners.port, IPv6: p.listeners.has(loopback6), NoIPv4: !p.listeners.has(loopback4)}
}

// install makes the kernel redirect. It is passive while another agent does so that came later: connections still reach this one
// too, and when the other's lease runs out this one takes over again.
func (p *podCapture) install(r intent.Redirect, changed uint64) (passive bool, err error) {
	if !p.superseded && p.installed == changed {
		return false, nil
	}
	apply := p.attached.Install
	if p.superseded {
		if leased, err := p.attached.Leased(); leased || err != nil && !gone(err) {
			return true, nil // not knowing is no reason to take anything from an agent that may be well
		}
		apply = p.attached.TakeOver
	}
	err = p.inKernelSlot(func() error { return apply(p.wanted(r)) })
	if errors.Is(err, mechanism.ErrSuperseded) {
		p.supersede()
		return true, nil
	}
	if err != nil {
		return false, err
	}
	p.superseded, p.failClosed, p.installed = false, r.FailClosed, changed
	p.closed.Store(r.FailClosed)
	p.inspection.redirectChanged(r) // what is redirected from now on may have connections from before
	return false, nil
}

func (p *podCapture) supersede() {
	p.lease.release()
	p.inspection.inspectAll()
	p.superseded = true
	p.emit(Superseded, nil)
}

// takeLease takes the lease, if it is not held. Where what it would be a lease of has gone or has been changed, that is installed anew.
func (p *podCapture) takeLease(g goal) error {
	err := p.lease.hold(p.attached)
	intact := err == nil
	if intact && p.disturbed.Swap(false) {
		p.inspection.inspectSoon() // others may have come or gone
		if intact, err = p.attached.Intact(); err != nil && !errors.Is(err, mechanism.ErrSuperseded) {
			return nil // whoever renews finds out again that something is to be looked at
		}
	}
	switch {
	case intact:
		return nil
	case errors.Is(err, mechanism.ErrSuperseded):
		p.supersede()
		return nil
	case err == nil || gone(err):
		p.inspection.inspectAll()
		p.inspection.rewritten = time.Now()
		p.publishState(g, failed(ReasonRulesChanged, errRulesChanged))
	}
	p.installed = 0 // nobody hears of the change once more if this fails
	if err := p.inKernelSlot(func() error { return p.attached.TakeOver(p.wanted(g.spec.Redirect)) }); err != nil {
		return err
	}
	p.installed = g.changed
	return p.lease.hold(p.attached)
}

// yieldLease gives up the lease so that new connections go direct.
func (p *podCapture) yieldLease(reason error) error {
	if !p.yielded {
		p.lease.release()
		p.inspection.inspectAll()
		if err := p.attached.Yield(); err != nil {
			return failed(ReasonRules, err)
		}
		p.yielded = true
	}
	return stepError{reason: ReasonOverload, error: reason}
}

// restore has the kernel know connections again that it was made to forget.
func (p *podCapture) restore() {
	if !p.forgotten.Swap(false) {
		return
	}
	n, err := p.attached.Restore(p.conns.some(math.MaxInt))
	if n > 0 || err != nil { // one that has just ended is forgotten too
		p.manager.options.Log.Warn("the kernel had forgotten connections of a pod", "pod", p.sandbox.Pod.Name,
			"namespace", p.sandbox.Pod.Namespace, "restored", n, "err", err)
	}
}
