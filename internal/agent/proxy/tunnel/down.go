package tunnel

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// quiet is how long a server sends nothing until its goroutine leaves the waiting to the poller, twice as long at most.
const quiet = 20 * time.Millisecond

// runDown passes on what the server sends, until that ends or it is quiet.
func (t *Tunnel) runDown() {
	defer t.recoverDown()
	err := t.down.writePrefix()
	if err == nil {
		err = t.armDown()
	}
	for moved := false; err == nil; {
		var side transport.Side
		side, err = t.down.move()
		switch {
		case err == nil:
			moved = true
		case side != transport.Source || !errors.Is(err, os.ErrDeadlineExceeded):
		case moved:
			moved, err = false, t.armDown()
		default:
			t.park()
			return
		}
	}
	t.down.end(err)
	t.downEnded()
}

// armDown bounds the waits for the server, if it can be parked. The read deadline is set once per idle period, not once per message.
func (t *Tunnel) armDown() error {
	if t.poller == nil {
		return nil
	}
	now := time.Now()
	return t.server.Arm(now, now.Add(quiet))
}

// park has the poller wait for the server. parked is the handoff flag: the one of resume and abort that clears it continues the tunnel.
func (t *Tunnel) park() {
	t.parked.Store(true)
	if err := t.poller.Wait(t.server, t.resume); err != nil && t.parked.Swap(false) {
		t.down.end(err)
		t.downEnded()
	}
}

func (t *Tunnel) resume() {
	if t.parked.Swap(false) {
		go t.runDown() // waited for by Run
	}
}

// downEnded says that nothing follows from the server. Only the first time counts.
func (t *Tunnel) downEnded() {
	if t.downDone.Swap(true) {
		return
	}
	if t.upDone.Load() {
		t.client.Wake() // out of awaitClose
	}
	t.other.Done()
}
