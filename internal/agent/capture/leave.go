package capture

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// retire closes the door kindly, a step at a time: new connections go direct, those that were captured go on to their end, and
// then nothing is left. It says whether that has been reached.
func (d *podCapture) retire(g goal) (finished bool, err error) {
	found, err := d.findLeftovers()
	if err = classify(err); err != nil && !gone(err) && !errors.Is(err, ErrPermanent) {
		return false, failed(ReasonNamespace, err)
	}
	if !found {
		d.release()
		return true, nil
	}
	d.lease.release()
	ours := !d.superseded && !(g.mode == stopping && d.failClosed)
	if !d.redirectStopped {
		if ours {
			if ours, err = d.stopRedirect(); err != nil {
				return false, failed(ReasonRules, err)
			}
		}
		d.redirectStopped = true
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
	d.release()
	return true, nil
}

// findLeftovers says whether there is anything to leave: what this agent opened, or what another left in the sandbox.
// What cannot be opened for good, as the agent's own pod, was never captured.
func (d *podCapture) findLeftovers() (bool, error) {
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

// stopRedirect ends redirecting, or finds that another agent does it now.
func (d *podCapture) stopRedirect() (ours bool, err error) {
	d.installed = 0
	err = d.inKernelSlot(d.redirector.StopRedirect)
	if errors.Is(err, nft.ErrSuperseded) {
		d.supersede()
		return false, nil
	}
	d.failClosed = d.failClosed && err != nil
	return err == nil, err
}

// remove takes the rules away, unless another agent has taken them over or they are gone.
func (d *podCapture) remove() error {
	err := d.inKernelSlot(d.redirector.Remove)
	if errors.Is(err, nft.ErrSuperseded) || gone(err) {
		return nil
	}
	return err
}

// closeNow closes the door at once. The rules of a pod that is gone go with its namespace, which nothing of the agent's must hold any longer than
// the connections do.
func (d *podCapture) closeNow(g goal) {
	if d.listeners != nil {
		d.listeners.close()
		d.listeners = nil
	}
	if g.mode == ended {
		d.release()
	}
	ns := d.ns.Swap(nil) // no more dialling
	cut := d.conns.abort()
	if g.mode == aborting {
		d.manager.cut.Add(int64(cut))
	}
	if d.redirector != nil && !d.superseded && !d.failClosed {
		if err := d.remove(); err != nil {
			d.emit(Troubled, err)
		}
	}
	d.ns.Store(ns)
	d.release()
}

// release frees what the door holds.
func (d *podCapture) release() {
	d.closeRedirector()
	if ns := d.ns.Swap(nil); ns != nil {
		_ = ns.Close()
	}
}
