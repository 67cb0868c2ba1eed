package capture

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
)

// retire ends the capture without harm, a step at a time: new connections go direct, those that were captured go on to their end, and
// then nothing is left. It says whether that has been reached.
func (p *podCapture) retire(g goal) (finished bool, err error) {
	found, err := p.findLeftovers()
	if err != nil && !gone(err) && !errors.Is(err, ErrPermanent) {
		return false, err
	}
	if !found {
		p.release()
		return true, nil
	}
	p.lease.release()
	ours := !p.superseded && !(g.mode == stopping && p.failClosed)
	if !p.redirectStopped {
		if ours {
			if ours, err = p.stopRedirect(); err != nil {
				return false, failed(ReasonRules, err)
			}
		}
		p.redirectStopped = true
		if p.listeners != nil {
			p.listeners.drain()
			p.listeners = nil
		}
	}
	if p.conns.count() > 0 {
		return false, nil
	}
	if ours {
		// If Busy fails, the redirect is removed all the same, since all handlers have ended, unless descriptors or memory ran out: then it
		// is tried again later.
		if busy, err := p.attached.Busy(); busy > 0 || exhausted(err) {
			return false, nil
		}
		if err := p.remove(); err != nil {
			return false, failed(ReasonRules, err)
		}
	}
	p.release()
	return true, nil
}

// findLeftovers reports whether there is anything to end: what this agent opened, or what another left in the sandbox.
// A namespace that can never be entered, such as that of the agent's own pod, was never captured.
func (p *podCapture) findLeftovers() (bool, error) {
	if p.found {
		return true, nil
	}
	if err := p.attach(); err != nil {
		return false, err
	}
	port, err := p.attached.Found()
	p.found = err == nil && port != 0
	return p.found, failed(ReasonRules, err)
}

// stopRedirect ends redirecting, or finds that another agent does it now.
func (p *podCapture) stopRedirect() (ours bool, err error) {
	p.installed = 0
	err = p.inKernelSlot(p.attached.StopRedirect)
	if errors.Is(err, mechanism.ErrSuperseded) {
		p.supersede()
		return false, nil
	}
	p.failClosed = p.failClosed && err != nil
	return err == nil, err
}

// remove takes away what is left of the redirect, unless another agent has taken it over or it is gone.
func (p *podCapture) remove() error {
	err := p.inKernelSlot(p.attached.Remove)
	if errors.Is(err, mechanism.ErrSuperseded) || gone(err) {
		return nil
	}
	return err
}

// closeNow ends the capture at once. What redirects in a pod that is gone goes with its namespace, which nothing of the agent's must hold
// any longer than the connections do.
func (p *podCapture) closeNow(g goal) {
	if p.listeners != nil {
		p.listeners.close()
		p.listeners = nil
	}
	if g.mode == ended {
		p.release()
	}
	p.reachable.Store(nil) // no more dialling
	cut := p.conns.abort()
	if g.mode == aborting {
		p.manager.cut.Add(int64(cut))
	}
	if p.found && !p.superseded && !p.failClosed {
		if err := p.remove(); err != nil {
			p.emit(Troubled, err)
		}
	}
	p.release()
}
