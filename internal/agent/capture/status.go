package capture

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// podStatus is how far the capture of a pod is.
type podStatus struct {
	reached    uint64 // the revision of the last goal that was tried; once more if it failed in a way that may pass
	captured   bool
	since      time.Time // when it was captured the last time
	err        error     // what is wrong, if anything
	port       uint16
	ipv6       bool
	id         netns.ID
	superseded bool
	findings   findings
}

// publishState publishes the state of the capture. If it has changed it wakes those who wait for it and sends an event.
func (p *podCapture) publishState(g goal, err error) {
	next := podStatus{err: err, captured: g.mode == capturing && err == nil, superseded: p.superseded, findings: p.inspection.findings}
	if l := p.listeners; l != nil {
		next.port, next.ipv6 = l.port, l.has(loopback6)
	}
	if p.attached != nil {
		next.id = p.attached.ns.ID()
	}
	p.mu.Lock()
	before := p.status
	next.since = before.since
	if next.captured && !before.captured {
		next.since = time.Now()
	}
	next.reached = before.reached // which may be ahead of g: what was asked for since may be the same
	if !p.transient(err) {
		next.reached = max(next.reached, g.revision)
	}
	p.status = next
	p.mu.Unlock()
	if exhausted(err) {
		p.manager.load.exhaust()
	}
	switch {
	case next.captured && !before.captured:
		p.everCaptured = true
		p.emit(Captured, nil)
	case err != nil && (before.err == nil || before.err.Error() != err.Error()):
		p.emit(Troubled, err)
	}
	if next.differs(&before) {
		p.manager.notifyProgress()
	}
}

// differs reports whether the states differ in something that is waited for.
func (s *podStatus) differs(o *podStatus) bool {
	return s.reached != o.reached || s.captured != o.captured || s.superseded != o.superseded || (s.err == nil) != (o.err == nil)
}

// emitTerminal emits the last event, where there was more than a look at what another agent may have left.
func (p *podCapture) emitTerminal(g goal) {
	switch {
	case !p.everCaptured:
	case g.mode == ended:
		p.emit(Ended, nil)
	default:
		p.emit(Released, nil)
	}
}

func (p *podCapture) emit(kind EventKind, err error) {
	p.manager.options.OnEvent(Event{Kind: kind, Pod: p.sandbox.Pod, Err: err})
}

func (p *podCapture) problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status.err
}

func (p *podCapture) counts() (captured bool, older int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status.captured, int64(p.status.findings.olderAll)
}
