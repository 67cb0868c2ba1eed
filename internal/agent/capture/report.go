package capture

import "fairlead.dev/fairlead/internal/agent/capture/netns"

// report is what a door says of itself.
type report struct {
	reached  uint64 // the revision of the last goal that was tried; once more if it failed in a way that may pass
	captured bool
	err      error // what is wrong, if anything
	port     uint16
	ipv6     bool
	id       netns.ID
	passive  bool
	seen     seen
}

// tell publishes how far the door is, and tells those who want to know when that is news.
func (d *door) tell(g goal, err error) {
	next := report{err: err, captured: g.mode == capturing && err == nil, passive: d.superseded, seen: d.looks.seen}
	if l := d.listeners; l != nil {
		next.port, next.ipv6 = l.port, l.ipv6()
	}
	if ns := d.ns.Load(); ns != nil {
		next.id = ns.ID()
	}
	d.mu.Lock()
	before := d.report
	next.reached = before.reached // which may be ahead of g: what was asked for since may be the same
	if !d.mayPass(err) {
		next.reached = max(next.reached, g.revision)
	}
	d.report = next
	d.mu.Unlock()
	if exhausted(err) {
		d.manager.load.exhaust()
	}
	switch {
	case next.captured && !before.captured:
		d.opened = true
		d.emit(Captured, nil)
	case err != nil && (before.err == nil || before.err.Error() != err.Error()):
		d.emit(Troubled, err)
	}
	if next.reached != before.reached || next.captured != before.captured || next.passive != before.passive || (next.err == nil) != (before.err == nil) {
		d.manager.stepped()
	}
}

// farewell tells of the end of a door that was more than a look at what another agent may have left.
func (d *door) farewell(g goal) {
	switch {
	case !d.opened:
	case g.mode == ended:
		d.emit(Ended, nil)
	default:
		d.emit(Released, nil)
	}
}

func (d *door) emit(kind EventKind, err error) {
	d.manager.options.OnEvent(Event{Kind: kind, Pod: d.sandbox.Pod, Err: err})
}
