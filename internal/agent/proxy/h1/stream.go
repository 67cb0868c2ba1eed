package h1

import (
	"errors"
	"io"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// largeAtOnce is the largest request that the session's own goroutine sends: the kernel takes it without blocking, unless it is
// short of memory.
const largeAtOnce = 32 << 10

// atOnce reports whether the whole request is in memory and small, so that one write sends it. Any other is streamed beside the
// wait for the response, so that both directions are watched while either blocks (rule 20).
func (x *exchange) atOnce() bool {
	return !x.upload.streamed && len(x.request.Raw())+len(x.upload.first) <= largeAtOnce
}

// sendStream sends the request, what is stored of its body from an earlier attempt, and the rest as the client sends it.
func (t *attempt) sendStream() {
	u := &t.x.upload
	again := u.started
	if t.sent == 0 && !t.sendHead() {
		return
	}
	if again && !t.sendKept() {
		return
	}
	u.started = u.started || !u.awaits100
	for !u.body.Done() {
		p, ok := t.nextPiece()
		if !ok {
			return
		}
		u.replay.Keep(p)
		t.final = u.body.Done()
		if !t.sendPiece(p) {
			return
		}
	}
	t.mu.Lock()
	if !t.complete {
		t.complete, t.written = true, time.Now()
	}
	t.mu.Unlock()
}

// sendHead sends the head and the part of the body that came with it, which is stored for replay if the reader will drop it.
func (t *attempt) sendHead() bool {
	x, u := t.x, &t.x.upload
	first := u.first
	if !u.streamed {
		first = nil // the final piece, by itself
	}
	_, err := x.request.WriteRequest(t, t.forward, first)
	switch sent := t.accepted() > 0; {
	case sent && u.streamed && !u.started:
		u.started = true
		u.replay.Keep(u.first)
		u.first = nil
	case err == nil && !u.streamed:
		t.final = true
		_, err = t.Write(u.first)
	}
	return t.sending(err)
}

// sendKept sends what is stored of the body from an earlier attempt; what is read from here on is stored behind that.
func (t *attempt) sendKept() bool {
	u := &t.x.upload
	for i, n := 0, u.replay.Pieces(); i < n; i++ {
		t.final = i == n-1 && u.body.Done()
		if !t.sendPiece(u.replay.Piece(i)) {
			return false
		}
	}
	return true
}

func (t *attempt) sendPiece(p []byte) bool {
	_, err := t.Write(p)
	return t.sending(err)
}

// sending notes an error of sending, and reports whether there is none.
func (t *attempt) sending(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	return err == nil && !t.stopped
}

// nextPiece reads the next piece of the body from the client. A client that breaks off in its midst, or breaks the protocol, has
// ended its request: the upstream gets a FIN.
func (t *attempt) nextPiece() ([]byte, bool) {
	u, l := &t.x.upload, &t.x.s.in
	for {
		l.bound(time.Now(), time.Time{})
		p, err := u.body.Next()
		switch {
		case err == nil:
			t.clientProgressed()
			return p, true
		case err == io.EOF: //nolint:errorlint // Next returns io.EOF itself
			return nil, true
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !t.sending(nil) {
				return nil, false
			}
		default:
			u.err = err
			_ = t.Lease.CloseWrite() // fails only when the connection is broken, which shows in the read
			return nil, false
		}
	}
}

// accepted is how many bytes of the request the kernel has taken.
func (t *attempt) accepted() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}

func (t *attempt) clientProgressed() {
	if t.x.Plan.Settings.Timeouts.Idle > 0 {
		t.mu.Lock()
		t.progressAt = time.Now()
		t.mu.Unlock()
	}
}

// reportBody reports to the call whether the body can be sent again.
func (x *exchange) reportBody() {
	u := &x.upload
	if u.replay.Lost() || x.cur.sent > 0 && !u.awaits100 && u.oversized(&x.request) {
		x.Call.BodyOverflowed()
	}
}

// bodyKept reports to the call, for which that matters, whether the whole body is there to be sent beside an attempt that has sent it.
func (x *exchange) bodyKept() {
	u := &x.upload
	if x.Plan.Hedge.Max > 0 && u.body.Done() && !u.replay.Lost() && !u.oversized(&x.request) {
		x.Call.BodyKept()
	}
}

// sendBeside sends the request beside the wait for its response.
func (x *exchange) sendBeside() call.Action {
	u := &x.upload
	u.replay.Start(!u.started && x.Call.NeedsReplay() && !u.oversized(&x.request))
	x.cur.startStream()
	return x.awaitHead()
}

// sendExpecting sends the head of a request whose client waits for 100 (Continue), and the body when that has come.
func (x *exchange) sendExpecting() call.Action {
	t := x.cur
	if t.sendRequest() != nil {
		return x.sendFailed()
	}
	if next, done := x.awaitContinue(); done {
		return next
	}
	x.Now = time.Now()
	t.until = x.untilOf(t, x.Call.Sending(x.Now, t.ID))
	return x.sendBeside()
}

// sentSoFar handles the end of the goroutine that sends the request. done says that this ended the attempt.
func (x *exchange) sentSoFar() (next call.Action, done bool) {
	t, u := x.cur, &x.upload
	if !t.streaming || !t.tryJoin() {
		return call.Action{}, false
	}
	switch {
	case t.complete:
		x.bodyKept()
		t.until = x.untilOf(t, x.Call.RequestWritten(t.written, t.ID))
		return call.Action{}, false
	case t.err != nil:
		return x.sendFailed(), true
	case u.err != nil && !errors.Is(u.err, io.ErrUnexpectedEOF):
		return x.uploadFailed(), true
	}
	// The client has ended its side in the midst of the body. It may be waiting for what the upstream makes of that.
	t.until = x.untilOf(t, x.Call.RequestWritten(x.Now, t.ID))
	return call.Action{}, false
}

// uploadFailed ends a call whose client broke off or broke the protocol; neither is the upstream's failure.
func (x *exchange) uploadFailed() call.Action {
	broken := x.upload.broken()
	if broken == nil {
		return x.clientGone(routes.DetailClientLeft)
	}
	a := x.clientGone(routes.Detail(broken.Error()))
	x.onAbort = x.refuse(broken)
	return a
}

// refuse answers a request whose body breaks the protocol (rules 26 and 27).
func (x *exchange) refuse(broken *http1.Error) step {
	s, q := x.s, &x.request
	s.malformed(broken.Status, broken, q)
	r := http1.Reply{Status: broken.Status, Reason: "malformed_request", ConnOption: http1.ConnClose, ToHead: q.Info().Head}
	if _, err := r.WriteTo(&x.out); err != nil {
		return closeNow
	}
	return closeInStages
}

// sendFailed reads a response that explains why the upstream stopped reading, before the failure is taken for one.
func (x *exchange) sendFailed() call.Action {
	t := x.cur
	late := errors.Is(t.err, os.ErrDeadlineExceeded)
	switch {
	case errors.Is(t.err, errClientLeft):
		return x.clientGone(routes.DetailClientLeft)
	case t.sent == 0 && !late && !errors.Is(t.err, errIdle):
		return x.failed(call.Reset, drive.DetailOf(t.err))
	}
	t.in.noWait = true
	err := t.in.reader.ReadResponse(&t.response, x.request.Info())
	for ; err == nil && t.response.Interim() && t.interims < MaxInterim; t.interims++ {
		t.in.reader.Finish()
		err = t.in.reader.ReadResponse(&t.response, x.request.Info())
	}
	t.in.noWait = false
	switch {
	case err == nil && t.response.Interim():
		return x.failed(call.BadResponse, routes.DetailInterim)
	case err == nil:
		return x.responseHead()
	case late && drive.Passed(t.until, time.Now()):
		return x.attemptTimeout()
	case late:
		return x.failed(call.AttemptTimeout, routes.DetailWrite)
	case errors.Is(t.err, errIdle):
		return x.failed(call.AttemptTimeout, routes.DetailIdle)
	case errors.Is(err, transport.ErrWouldBlock), errors.Is(err, io.EOF):
		return x.failed(call.Reset, drive.DetailOf(t.err))
	}
	return x.failed(kindOf(err))
}

// awaitContinue waits for 100 (Continue), for a final response, or for the client to send the body unasked.
func (x *exchange) awaitContinue() (next call.Action, done bool) {
	t, u := x.cur, &x.upload
	look := x.firstWait()
	for {
		t.in.bound(x.Now, x.nextLook(look))
		err := t.in.reader.ReadResponse(&t.response, x.request.Info())
		switch {
		case err == nil && !t.response.Interim():
			return x.responseHead(), true
		case err == nil:
			goOn := t.response.Status == 100
			if next, done := x.interim(); done {
				return next, true
			}
			if goOn {
				u.awaits100 = false
				return call.Action{}, false
			}
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return x.failed(kindOf(err)), true
		}
		x.Now = time.Now()
		if err != nil {
			if len(x.s.in.reader.Buffered()) > 0 || x.s.client.Conn.Peek() == transport.Readable {
				u.awaits100 = false
				return call.Action{}, false
			}
			if x.s.client.Left() {
				return x.clientGone(routes.DetailClientLeft), true
			}
			look = min(2*look, drive.MaxCheck)
		}
		if next, done := x.overdue(); done {
			return next, true
		}
	}
}
