package h2

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// sendMore has an attempt send on, whose connection has become able to.
func (s *Session) sendMore(h holder, u *serverConn, now time.Time, b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.holds(u) {
		s.clock(now)
		s.turn.begin()
		if x := h.t.x; x.phase == trying && h.t != x.cur {
			if x.underWay(h.t) && !h.t.stopped && !h.t.whole {
				x.upload(h.t, nil, b)
			}
		} else {
			x.sendOrQueue(nil, b)
		}
		s.turn.end()
	}
}

// sendOrQueue sends what there is of the request, as far as it is taken: what is kept from an earlier attempt, what has not been sent yet, and then
// p, which has just been received. What is not taken of p is put behind the rest; that is how much it returns.
func (x *stream) sendOrQueue(p []byte, b *batch) (kept int) {
	t := x.cur
	if x.phase == forwarding {
		t = x.answer
	}
	taken := 0
	if t.u != nil && (x.phase == trying || x.phase == forwarding) && !t.stopped && !t.whole {
		taken = x.upload(t, p, b)
	}
	rest := p[taken:]
	switch {
	case len(rest) > 0 && t.stopped: // nobody wants it
		x.consumed(len(rest), b)
		return 0
	case t.whole && x.phase == forwarding && x.closed:
		x.finish(b)
		return 0
	}
	x.s.account.add(x.body.push(rest))
	if len(rest) > 0 && x.phase == trying && x.plan.Settings.Timeouts.Write > 0 {
		x.s.schedule(x)
	}
	return len(rest)
}

// upload sends, and returns how much of p was taken.
func (x *stream) upload(t *attempt, p []byte, b *batch) (taken int) {
	s := x.s
	taken, consumed := x.uploadPieces(t, p, b)
	x.consumed(consumed, b)
	if t.whole && x.phase == trying {
		x.bodyKept()
		x.until = x.call.RequestWritten(s.now, t.ID).Until
		s.schedule(x)
	}
	return taken
}

// uploadPieces appends what is taken, and returns how much that is of p, and of what was received and not sent before.
func (x *stream) uploadPieces(t *attempt, p []byte, b *batch) (taken, consumed int) {
	u, s := t.u, x.s
	u.mu.Lock()
	defer u.mu.Unlock()
	t.stuck, x.behind = false, u.out.blocked
	defer x.noteSent(u, u.out.appended, b)
	for !t.whole {
		piece, kind := x.nextPiece(t, p[taken:])
		if kind == nothing {
			if x.ended {
				x.sendEnd(t)
			}
			break
		}
		n := x.fits(t, len(piece))
		if n == 0 {
			break
		}
		left := int(x.replay.Kept()-t.replayed) + x.body.size + len(p) - taken
		t.whole = x.ended && !x.trailing && n == left
		t.appendData(piece[:n])
		switch kind {
		case replayed:
			t.replayed += int64(n)
			continue
		case queued:
			x.keep(t, piece[:n])
			s.account.add(-x.body.pop(n))
		case fresh:
			x.keep(t, piece[:n])
			taken += n
		case nothing:
		}
		consumed += n
	}
	return taken, consumed
}

// appendData appends a DATA frame, which ends the request if t.whole. It expects the lock of t.u.
func (t *attempt) appendData(p []byte) {
	u := t.u
	frames := u.out.data(t.stream, p, t.whole, u.peer.MaxFrameSize)
	u.flood.Sent(frames + len(p)/creditSize)
	t.x.s.turn.take(len(p))
	t.send.Take(len(p))
	u.send.Take(len(p))
}

// noteSent notes whether something was appended behind an offset. It expects the lock of u.
func (x *stream) noteSent(u *serverConn, offset uint64, b *batch) {
	if u.out.appended > offset {
		b.add(&u.out)
		x.moved, x.sentAt = x.s.now, x.s.now
	}
}

// source is where a piece of a request's body comes from.
type source uint8

const (
	nothing source = iota
	replayed
	queued
	fresh
)

func (x *stream) nextPiece(t *attempt, p []byte) ([]byte, source) {
	switch {
	case t.replayed < x.replay.Kept():
		return x.replay.From(t.replayed), replayed
	case x.body.size > 0:
		return x.body.front(), queued
	case len(p) > 0:
		return p, fresh
	}
	return nil, nothing
}

// fits is how much of n bytes may be sent now. It expects the lock of t.u.
func (x *stream) fits(t *attempt, n int) int {
	u := t.u
	window := min(n, int(u.peer.MaxFrameSize), t.send.Available())
	switch {
	case window == 0:
		t.stuck = true
		return 0
	case u.out.full() || u.send.Available() == 0 || x.s.turn.over():
		u.wait(t)
		return 0
	}
	return x.s.turn.bound(min(window, u.send.Available()))
}

// keep keeps a piece of the body that is sent.
func (x *stream) keep(t *attempt, p []byte) {
	x.replay.Keep(p)
	t.replayed = x.replay.Kept()
}

// sendEnd ends the request on an attempt's stream. It expects the lock of t.u.
func (x *stream) sendEnd(t *attempt) {
	u := t.u
	if x.trailing {
		o := http2.Outgoing{Stream: t.stream, EndStream: true, MaxFrame: u.peer.MaxFrameSize}
		u.out.put(u.enc.AppendHeaders(u.out.buffer(), &x.trailers, &o))
	} else {
		u.out.data(t.stream, nil, true, u.peer.MaxFrameSize)
	}
	t.whole = true
}

// consumed opens the client's window for what the server has taken.
func (x *stream) consumed(n int, b *batch) {
	s := x.s
	if n == 0 {
		return
	}
	if increment := x.recv.Consume(uint32(n)); increment > 0 && !x.ended {
		s.out.put(http2.AppendWindowUpdate(s.out.buffer(), x.id, increment))
		b.add(&s.out)
	}
	if back := min(n, x.owed); back > 0 {
		x.owed -= back
		s.giveBack(uint32(back), b)
	}
}

// reportBody reports to the call whether the body can be sent again.
func (x *stream) reportBody() {
	if x.replay.Lost() {
		x.call.BodyOverflowed()
	}
}
