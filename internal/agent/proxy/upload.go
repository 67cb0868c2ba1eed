package proxy

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/socket"
)

// replayChunk is the unit in which request bodies are kept.
const replayChunk = 16 << 10

var replayChunks = sync.Pool{New: func() any { return new([replayChunk]byte) }}

// upload is a request's body: what came of it, and what is kept of it for another try.
type upload struct {
	srv  *Server
	body http1.Body
	// first goes out together with the head. It is the whole body when that came with the head.
	first []byte
	err   error // of the client's side
	// sentAll: the try under way has sent the whole body.
	sentAll bool
	// held: the client waits for 100 (Continue).
	held bool

	keeping  bool // chunks hold everything read so far
	chunks   []*[replayChunk]byte
	kept     int64 // bytes in chunks
	reserved int64
	limit    int64
	streamed bool // the body does not fit first
	started  bool // a part of it was sent
}

func (u *upload) begin(r *http1.Reader, q *http1.Request) {
	r.Body(&u.body, &q.Head)
	u.first, u.err, u.sentAll, u.held = nil, nil, false, false
	u.keeping, u.kept, u.streamed, u.started = false, 0, false, false
	if u.body.Done() {
		return
	}
	if q.Expect100 {
		u.held, u.streamed = true, true
		return
	}
	u.first, u.err = u.body.Ready()
	u.streamed = !u.body.Done()
}

// sentAllAtOnce reports whether the whole request is in memory, so that one write sends it.
func (u *upload) sentAllAtOnce() bool {
	if u.streamed {
		return false
	}
	u.sentAll = true
	return true
}

// done reports whether the body was read to its end.
func (u *upload) done() bool { return u.body.Done() }

// unfinished reports whether a response came before the whole request was sent.
func (u *upload) unfinished() bool { return !u.sentAll && !u.held }

// finish reads what is left of the body if that can be done without waiting, and reports whether nothing is left.
func (u *upload) finish() bool {
	if !u.body.Done() && !u.held {
		_, u.err = u.body.Ready()
	}
	return u.body.Done()
}

// forfeit gives the account of what was kept back, but not the chunks.
func (u *upload) forfeit() {
	u.srv.replay.Release(u.reserved)
	u.reserved = 0
}

// release gives the kept chunks back.
func (u *upload) release() {
	for i, c := range u.chunks {
		replayChunks.Put(c)
		u.chunks[i] = nil
	}
	u.chunks = u.chunks[:0]
	if u.reserved > 0 {
		u.srv.replay.Release(u.reserved)
		u.reserved = 0
	}
	u.keeping, u.kept = false, 0
}

// keep appends to what is kept. It reports false when the bounds do not allow it (semantics rules 18 and 19); everything kept
// is dropped then.
func (u *upload) keep(p []byte) bool {
	if u.kept+int64(len(p)) > u.limit {
		u.release()
		return false
	}
	for len(p) > 0 {
		at := int(u.kept % replayChunk)
		if at == 0 {
			if !u.srv.replay.Reserve(replayChunk) {
				u.release()
				return false
			}
			u.reserved += replayChunk
			u.chunks = append(u.chunks, replayChunks.Get().(*[replayChunk]byte))
		}
		n := copy(u.chunks[len(u.chunks)-1][at:], p)
		u.kept += int64(n)
		p = p[n:]
	}
	return true
}

// stream sends a request whose body does not come with its head: what is kept of it from an earlier try, then the rest as the
// client sends it. A response that comes first ends the sending (semantics rule 20).
func (x *exchange) stream(a call.Action) call.Action {
	t, u := x.cur, &x.upload
	t.until, u.sentAll = a.Until, false
	again := u.started
	err := t.sendRequest()
	if t.sent > 0 && !again {
		u.started = true
		if x.call.NeedsReplay() {
			u.keeping, u.limit = true, x.plan.Settings.Retry.BodyMaxBytes
			x.keepPiece(u.first)
		}
		u.first = nil
	}
	if err == nil && again {
		err = x.resend()
	}
	if err != nil {
		return x.sendFailed(a)
	}
	if u.held {
		if next, done := x.awaitContinue(a); done {
			return next
		}
	}
	return x.sendRest(a)
}

// keepPiece keeps a piece of the body for another try, as long as that is possible.
func (x *exchange) keepPiece(p []byte) {
	if x.upload.keeping && len(p) > 0 && !x.upload.keep(p) {
		x.call.BodyOverflowed()
	}
}

// resend sends what is kept of the body.
func (x *exchange) resend() error {
	t, u := x.cur, &x.upload
	left := u.kept
	for _, c := range u.chunks {
		n := min(left, replayChunk)
		if err := t.write(c[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func (t *attempt) write(p []byte) error {
	n, err := t.Write(p)
	t.sent += n
	t.err = err
	return err
}

// sendRest streams the rest of the body from the client and then waits for the response.
func (x *exchange) sendRest(a call.Action) call.Action {
	t, u := x.cur, &x.upload
	for !u.body.Done() {
		p, next, done := x.moreBody(a)
		if done {
			return next
		}
		x.keepPiece(p)
		if t.write(p) != nil {
			return x.sendFailed(a)
		}
	}
	u.sentAll = true
	if x.plan.Settings.Timeouts.ResponseHeader > 0 {
		x.now = time.Now()
		a = x.call.RequestWritten(x.now)
	}
	return x.awaitHead(a)
}

// moreBody returns the next piece of the body. While it waits for it, it sees to a response that comes first, and to the try's
// time; done says that the try ended that way. A piece may be empty at the body's end.
func (x *exchange) moreBody(a call.Action) (p []byte, next call.Action, done bool) {
	l, u := &x.s.line, &x.upload
	if p, err := u.body.Ready(); len(p) > 0 || err == nil && u.body.Done() {
		return p, a, false
	}
	x.now = time.Now()
	var idleEnd time.Time
	if limit := x.plan.Settings.Timeouts.Idle; limit > 0 {
		idleEnd = x.now.Add(limit)
	}
	for look := firstLook; ; look = min(2*look, maxLook) {
		if x.cur.conn.Peek() != socket.Quiet || x.cur.line.reader.Started() {
			if next, done := x.earlyHead(a); done {
				return nil, next, true
			}
		}
		l.now, l.until = x.now, earlier(earlier(a.Until, idleEnd), x.now.Add(look))
		p, err := u.body.Next()
		if err == nil || err == io.EOF { //nolint:errorlint // Next returns io.EOF itself
			return p, a, false
		}
		x.now = time.Now()
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, x.badUpload(err), true
		case passed(a.Until, x.now):
			return nil, x.failed(call.AttemptTimeout), true
		case passed(idleEnd, x.now), x.s.client.Interrupted():
			return nil, x.clientGone(), true
		}
	}
}

// earlyHead reads what the upstream says while the request is still being sent, without waiting for it. Interim responses are
// forwarded and change nothing: the upstream may well wait for the rest of the body.
func (x *exchange) earlyHead(a call.Action) (next call.Action, done bool) {
	t := x.cur
	for {
		t.line.nowait = true
		err := t.line.reader.ReadResponse(&t.response, x.request.Asked())
		t.line.nowait = false
		switch {
		case err == nil && !t.response.Interim():
			return x.gotHead(), true
		case err == nil:
			if next, done := x.interim(); done {
				return next, true
			}
		case errors.Is(err, socket.ErrNothing):
			return a, false
		default:
			return x.failed(kindOf(err)), true
		}
		if x.now = time.Now(); passed(a.Until, x.now) {
			return x.failed(call.AttemptTimeout), true
		}
	}
}

// badUpload ends a call whose client broke off or broke the protocol; neither is the upstream's failure.
func (x *exchange) badUpload(err error) call.Action {
	var broken *http1.Error
	if errors.As(err, &broken) {
		x.upload.err = err
		x.s.malformed(broken.Status, broken)
		r := http1.Reply{Status: broken.Status, Reason: "malformed_request", Say: http1.SayClose, ToHead: x.request.Asked().Head}
		_, _ = r.WriteTo(&x.s.out) // the connection ends anyway
	}
	return x.clientGone()
}

// sendFailed looks whether the upstream said why it stopped reading before the failure is taken for one.
func (x *exchange) sendFailed(a call.Action) call.Action {
	t := x.cur
	late := errors.Is(t.err, os.ErrDeadlineExceeded)
	switch {
	case errors.Is(t.err, errClientLeft):
		return x.clientGone()
	case t.sent == 0 && !late:
		return x.failed(call.Reset)
	}
	t.line.nowait = true
	err := t.line.reader.ReadResponse(&t.response, x.request.Asked())
	for err == nil && t.response.Interim() {
		t.line.reader.Finish()
		err = t.line.reader.ReadResponse(&t.response, x.request.Asked())
	}
	t.line.nowait = false
	switch {
	case err == nil:
		return x.gotHead()
	case late:
		return x.failed(call.AttemptTimeout)
	case errors.Is(err, socket.ErrNothing), errors.Is(err, io.EOF):
		return x.failed(call.Reset)
	}
	return x.failed(kindOf(err))
}

// awaitContinue waits for 100 (Continue), for a final response, or for the client to lose patience and send the body.
func (x *exchange) awaitContinue(a call.Action) (next call.Action, done bool) {
	t, u := x.cur, &x.upload
	look := firstLook
	for {
		t.line.now, t.line.until = x.now, earlier(a.Until, x.now.Add(look))
		err := t.line.reader.ReadResponse(&t.response, x.request.Asked())
		switch {
		case err == nil && !t.response.Interim():
			return x.gotHead(), true
		case err == nil:
			goOn := t.response.Status == 100
			if next, done := x.interim(); done {
				return next, true
			}
			if goOn {
				u.held = false
				return a, false
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			x.now = time.Now()
			if passed(a.Until, x.now) {
				return x.failed(call.AttemptTimeout), true
			}
			if x.s.left() {
				return x.clientGone(), true
			}
			if len(x.s.line.reader.Buffered()) > 0 || x.s.client.Peek() == socket.Readable {
				u.held = false
				return a, false
			}
			look = min(2*look, maxLook)
		default:
			return x.failed(kindOf(err)), true
		}
	}
}
