package tunnel

import "fairlead.dev/fairlead/internal/agent/panics"

// A mistake in what carries a tunnel, on whatever goroutine, costs its own connections, not the process with everybody else's: they are reset, and
// Run, whose caller knows what to give up, panics in turn when nothing of the tunnel runs any more.

// failed keeps what was recovered; the first one counts. It must be called by the function that has recovered it.
func (t *Tunnel) failed(what any) {
	var c panics.Carrier
	c.Hold(what)
	t.panicked.CompareAndSwap(nil, &c)
}

// recoverDown is deferred by runDown: when that panics nobody goes on with what the server sends.
func (t *Tunnel) recoverDown() {
	what := recover()
	if what == nil {
		return
	}
	t.failed(what)
	t.abort(Broken)
	t.downEnded()
}

// runUp passes on what the client sends.
func (t *Tunnel) runUp() {
	defer func() {
		if what := recover(); what != nil {
			t.failed(what) // Run still has to wait for the other direction
			t.abort(Broken)
		}
	}()
	t.up.run()
}

func (t *Tunnel) raise() {
	if c := t.panicked.Load(); c != nil {
		c.Raise()
	}
}
