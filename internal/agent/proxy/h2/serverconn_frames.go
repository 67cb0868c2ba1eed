package h2

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// settings takes in what the server has announced.
func (u *serverConn) settings(f *http2.Frame) error {
	if f.Ack {
		return nil
	}
	capacity, offers, retry, err := u.announced(f)
	if err != nil {
		return err
	}
	u.conn.SetCapacity(capacity)
	if offers {
		u.offerConnect()
	}
	u.windowsGrown(retry, &u.batch)
	u.retry(&u.batch)
	return nil
}

// announced applies SETTINGS. It returns how many streams the server takes, whether it offers extended CONNECT, and whose windows have grown.
func (u *serverConn) announced(f *http2.Frame) (capacity int, offers bool, retry []holder, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change, err := u.peer.Apply(f.Payload, true)
	if err != nil {
		return 0, false, nil, err
	}
	if change.SmallestTable != http2.Unlimited {
		u.enc.SetTableSize(u.peer.HeaderTableSize, change.SmallestTable)
	}
	ok := true
	for _, h := range u.attempts {
		ok = h.t.send.Shift(change.Window) && ok
		if change.Window > 0 {
			retry = append(retry, h)
		}
	}
	u.settingsReceived = true
	u.out.put(http2.AppendSettingsAck(u.out.buffer()))
	u.batch.add(&u.out)
	if !ok {
		return 0, false, nil, http2.ErrWindowOverflow
	}
	return int(min(u.peer.MaxConcurrentStreams, http2.MaxStream)), u.peer.EnableConnectProtocol, retry, nil
}

// offerConnect tells the clients whose streams are here that extended CONNECT is to be had (RFC 8441).
func (u *serverConn) offerConnect() {
	for s := range u.sessions() {
		s.offerConnect(&u.batch)
	}
}

// sessions are those whose streams are here.
func (u *serverConn) sessions() map[*Session]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := map[*Session]bool{}
	for _, h := range u.attempts {
		seen[h.s] = true
	}
	return seen
}

// pinged answers a PING.
func (u *serverConn) pinged(f *http2.Frame) {
	if f.Ack {
		return // whatever arrives proves the server alive
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.out.backlog() < maxBacklog { // who reads nothing needs no answers
		u.out.put(http2.AppendPingAck(u.out.buffer(), f.Payload))
		u.batch.add(&u.out)
	}
}

// goAway has the connection take no more streams. Those above the last one that the server has taken were not processed (rule 7).
func (u *serverConn) goAway(f *http2.Frame) {
	unprocessed := u.leave(f.LastStream)
	u.conn.Drain()
	notify(unprocessed, func(h holder) { h.s.unprocessed(h, u) })
	u.leaves()
}

// leave has the connection take no more streams, and returns those above the last one that the server has taken.
func (u *serverConn) leave(last uint32) []holder {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.leaving = true
	return u.take(func(id uint32) bool { return id > last })
}

func (u *serverConn) windowUpdate(f *http2.Frame) error {
	h, stuck, err := u.windowGrown(f)
	if err != nil {
		return err
	}
	if stuck {
		h.s.sendMore(h, u, u.now, &u.batch)
	}
	if stuck || f.Stream == 0 {
		u.retry(&u.batch) // a stream's turn may have ended before its window
	}
	return nil
}

// windowGrown takes in a WINDOW_UPDATE. stuck: the stream has had no window for what it has to send.
func (u *serverConn) windowGrown(f *http2.Frame) (h holder, stuck bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.Stream == 0 {
		if !u.send.Add(f.Increment) {
			return holder{}, false, http2.ErrWindowOverflow
		}
		return holder{}, false, nil
	}
	h, found := u.attempts[f.Stream]
	switch {
	case !found:
		return holder{}, false, nil
	case !h.t.send.Add(f.Increment):
		return holder{}, false, http2.ErrStreamWindowOverflow
	}
	return h, h.t.stuck, nil
}

// wait notes that an attempt has something to send that the connection does not take now. It expects the lock.
func (u *serverConn) wait(t *attempt) {
	if !t.waits {
		t.waits = true
		u.waiting = append(u.waiting, holder{t, t.x.s, t.stream})
	}
}

// forget takes an attempt from those that wait. It expects the lock.
func (u *serverConn) forget(t *attempt) {
	if t.waits {
		t.waits = false
		u.waiting = slices.DeleteFunc(u.waiting, func(h holder) bool { return h.t == t && h.id == t.stream })
	}
}

// retry has those send that wait for the connection, in turn.
func (u *serverConn) retry(b *batch) {
	for now := time.Now(); ; {
		waiting, before := u.takeWaiting()
		if len(waiting) == 0 {
			return
		}
		for _, h := range waiting {
			h.s.sendMore(h, u, now, b)
		}
		if u.appended() == before {
			return
		}
	}
}

// appended is how much was appended to the output.
func (u *serverConn) appended() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out.appended
}

// takeWaiting returns those that wait for the connection, who do so no more, and how much was appended to the output.
func (u *serverConn) takeWaiting() (waiting []holder, appended uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.send.Available() == 0 || u.out.full() {
		return nil, 0
	}
	waiting = u.waiting
	u.waiting = nil
	for _, h := range waiting {
		if now, ok := u.attempts[h.id]; ok && now.t == h.t {
			h.t.waits = false
		}
	}
	return waiting, u.out.appended
}

// windowsGrown has attempts send on, whose windows have grown.
func (u *serverConn) windowsGrown(all []holder, b *batch) {
	for _, h := range all {
		h.s.sendMore(h, u, u.now, b)
	}
}

// resume is called when the kernel has taken what it did not take before.
func (u *serverConn) resume() { flushed(u.retry) }
