package capture

import "fairlead.dev/fairlead/internal/agent/capture/netns"

// podStatus is what a door says of itself.
type podStatus struct {
	reached    uint64 // the revision of the last goal that was tried; once more if it failed in a way that may pass
	captured   bool
	err        error // what is wrong, if anything
	port       uint16
	ipv6       bool
	id         netns.ID
	superseded bool
	findings   findings
}

// publishState publishes how far the door is, and tells those who want to know when that is news.
func (d *podCapture) publishState(g goal, err error) {
	next := podStatus{err: err, captured: g.mode == capturing && err == nil, superseded: d.superseded, findings: d.inspection.findings}
	if l := d.listeners; l != nil {
		next.port, next.ipv6 = l.port, l.ipv6()
	}
	if ns := d.ns.Load(); ns != nil {
		next.id = ns.ID()
	}
	d.mu.Lock()
	before := d.status
	next.reached = before.reached // which may be ahead of g: what was asked for since may be the same
	if !d.transient(err) {
		next.reached = max(next.reached, g.revision)
	}
	d.status = next
	d.mu.Unlock()
	if exhausted(err) {
		d.manager.load.exhaust()
	}
	switch {
	case next.captured && !before.captured:
		d.everCaptured = true
		d.emit(Captured, nil)
	case err != nil && (before.err == nil || before.err.Error() != err.Error()):
		d.emit(Troubled, err)
	}
	if next.reached != before.reached || next.captured != before.captured || next.superseded != before.superseded || (next.err == nil) != (before.err == nil) {
		d.manager.notifyProgress()
	}
}

// emitTerminal tells of the end of a door that was more than a look at what another agent may have left.
func (d *podCapture) emitTerminal(g goal) {
	switch {
	case !d.everCaptured:
	case g.mode == ended:
		d.emit(Ended, nil)
	default:
		d.emit(Released, nil)
	}
}

func (d *podCapture) emit(kind EventKind, err error) {
	d.manager.options.OnEvent(Event{Kind: kind, Pod: d.sandbox.Pod, Err: err})
}
