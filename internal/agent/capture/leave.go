package capture

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// leave closes the door kindly, a step at a time: new connections go direct, those that were captured go on to their end, and
// then nothing is left. It says whether that has been reached.
func (d *door) leave(g goal) (finished bool, err error) {
	found, err := d.find()
	if err = classify(err); err != nil && !gone(err) && !errors.Is(err, ErrPermanent) {
		return false, failed(ReasonNamespace, err)
	}
	if !found {
		d.letGo()
		return true, nil
	}
	d.lease.letGo()
	ours := !d.superseded && !(g.mode == stopping && d.closed)
	if !d.passed {
		if ours {
			if ours, err = d.pass(); err != nil {
				return false, failed(ReasonRules, err)
			}
		}
		d.passed = true
		if d.listeners != nil {
			d.listeners.drain()
			d.listeners = nil
		}
	}
	if d.conns.count() > 0 {
		return false, nil
	}
	if ours {
		// A failure to look is no reason to stay for ever, as the handlers are done, unless it is one that passes.
		if busy, err := d.redirector.Busy(); busy > 0 || exhausted(err) {
			return false, nil
		}
		if err := d.remove(); err != nil {
			return false, failed(ReasonRules, err)
		}
	}
	d.letGo()
	return true, nil
}

// find says whether there is anything to leave: what this agent opened, or what another left in the sandbox.
// What cannot be opened for good, as the agent's own pod, was never captured.
func (d *door) find() (bool, error) {
	if d.redirector != nil {
		return true, nil
	}
	if err := d.enter(); err != nil {
		return false, err
	}
	port, err := d.manager.options.Mechanism.PortInUse(d.ns.Load())
	if err != nil || port == 0 {
		return false, err
	}
	if err := d.openRedirector(port, false); err != nil {
		return false, err
	}
	return true, nil
}

// pass ends redirecting, or finds that another agent does it now.
func (d *door) pass() (ours bool, err error) {
	d.installed = 0
	err = d.slot(d.redirector.Pass)
	if errors.Is(err, nft.ErrSuperseded) {
		d.supersede()
		return false, nil
	}
	d.closed = d.closed && err != nil
	return err == nil, err
}

// remove takes the rules away, unless another agent has taken them over or they are gone.
func (d *door) remove() error {
	err := d.slot(d.redirector.Remove)
	if errors.Is(err, nft.ErrSuperseded) || gone(err) {
		return nil
	}
	return err
}

// shut closes the door at once. The rules of a pod that is gone go with its namespace, which nothing of the agent's must hold any longer than
// the connections do.
func (d *door) shut(g goal) {
	if d.listeners != nil {
		d.listeners.close()
		d.listeners = nil
	}
	if g.mode == ended {
		d.letGo()
	}
	ns := d.ns.Swap(nil) // no more dialling
	cut := d.conns.abort()
	if g.mode == aborting {
		d.manager.cut.Add(int64(cut))
	}
	if d.redirector != nil && !d.superseded && !d.closed {
		if err := d.remove(); err != nil {
			d.emit(Troubled, err)
		}
	}
	d.ns.Store(ns)
	d.letGo()
}

// letGo frees what the door holds.
func (d *door) letGo() {
	d.closeRedirector()
	if ns := d.ns.Swap(nil); ns != nil {
		_ = ns.Close()
	}
}
