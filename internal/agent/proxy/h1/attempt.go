package h1

import (
	"io"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// attempt is one attempt: a connection, what was sent on it and the response. What belongs to one attempt is stored here, never on the
// exchange, since another attempt may follow while its response is kept.
type attempt struct {
	drive.Attempt

	// immutable
	x    *exchange
	send func() error  // sendRequest, bound once
	run  func()        // stream, bound once
	done chan struct{} // receives when stream has ended

	forward http1.Forward // how the request differs from the client's
	extra   []byte        // forward.Extra, and without forward.Without, if they are the attempt's own
	without []string

	server   *transport.Conn // that the attempt was made on, whoever has it now
	in       *connReader     // conn's, or what is left of it when the response was taken over completely
	response http1.Response
	body     http1.Body
	// ready is the part of the body that was taken over before the response is forwarded; all says that it is the whole.
	ready []byte
	spill []byte // memory for ready
	all   bool

	until    time.Time // the attempt's deadline as the call last returned it; zero: none
	stall    time.Duration
	interims int
	// receivedAt is when a byte last came from the upstream, as far as lastProgress knows: receivedBefore bytes had come then.
	receivedAt     time.Time
	receivedBefore int64

	// streaming: stream sends the request beside the session's own goroutine, to which everything above belongs.
	streaming bool
	// beside is the goroutine that carries the attempt beside others; nil: none does. slot is for its connection, if it is a hedge.
	beside   *contender
	slot     *upstream.Request
	hasHead  bool           // a final response has come
	reported bool           // its end was
	panicked panics.Carrier // valid when stream has ended
	final    bool           // what is written now is the rest of the request; stream's own while streaming

	mu sync.Mutex
	// guarded by mu while streaming, the session's own otherwise
	sent       int       // bytes of the request that the kernel accepted
	complete   bool      // it accepted the last one
	written    time.Time // and when
	progressAt time.Time // when it last accepted one or the client sent one, if timeouts.idle is set
	blocked    bool      // the upstream takes nothing at present
	stopped    bool      // stream is to end
	ended      bool      // stream has ended, or is about to
	err        error     // of sending
}

// take begins an attempt on a connection.
func (t *attempt) take(c upstream.Lease, id call.AttemptID, start call.Start) {
	x := t.x
	t.reset(id, start)
	t.hold(c)
	x.pinTo(c.Conn.Conn)
	t.until = x.untilOf(t, x.Call.Sending(x.Now, t.ID))
}

// reset begins an attempt that has no connection yet.
func (t *attempt) reset(id call.AttemptID, start call.Start) {
	x := t.x
	t.ID, t.Start, t.Began = id, start, x.Now
	t.stall, t.interims, t.hasHead, t.reported = x.Plan.Settings.Timeouts.Write, 0, false, false
	t.receivedAt, t.progressAt = x.Now, x.Now
	t.sent, t.complete, t.final, t.blocked, t.stopped, t.err = 0, false, false, false, false, nil
	t.all, t.ready = false, nil
	t.mark()
}

// hold gives the attempt its connection.
func (t *attempt) hold(c upstream.Lease) {
	l, ok := c.Attachment.(*connReader)
	if !ok {
		l = &connReader{}
		l.attach(c.Conn.Conn)
		c.Attachment = l
	}
	l.reader.Account(&t.x.s.client.Share.Responses)
	t.Lease, t.server, t.in, t.receivedBefore = c, c.Conn.Conn, l, l.received
}

// untilOf is when the attempt ends that an action of the call is about.
func (x *exchange) untilOf(t *attempt, a call.Action) time.Time {
	if x.Plan.Hedge.Max > 0 { // else nothing else is due
		return x.Call.AttemptDeadline(t.ID)
	}
	return a.Until
}

// drop gives up the attempt; its connection is closed.
func (t *attempt) drop() {
	t.release(false)
}

// giveUp gives up an attempt that the call wants no longer. One that has been answered leaves its connection behind, if that is fit and all
// has come.
func (t *attempt) giveUp() {
	x := t.x
	if t.leaveBehind() || t.leaveDial() {
		return
	}
	t.halt()
	if !t.reported {
		kind, why := call.Superseded, routes.NoDetail
		if x.Call.Outcome().Kind == call.ClientGone && x.Call.Ended() {
			kind, why = call.ClientGone, routes.DetailClientLeft
		}
		x.attempted(t, kind, 0, why)
	}
	keep := false
	if t.hasHead && t.Lease.Conn != nil && !t.streaming {
		_, _ = t.body.Ready() // what has not come is not waited for
		keep = t.reusable()
	}
	if c := t.Lease.Conn; !keep && c != nil {
		x.s.forget(c.Conn)
	}
	t.release(keep)
}

// attempted reports the end of an attempt.
func (x *exchange) attempted(t *attempt, kind call.Kind, status int, why routes.Detail) {
	t.reported = true
	x.Attempted(&t.Attempt, kind, status, why)
}

// release gives the connection back, fit for reuse or not, and the memory with it.
func (t *attempt) release(keep bool) {
	t.stopStream()
	c, l := t.Lease, t.in
	t.Lease, t.server, t.in, t.ready = upstream.Lease{}, nil, nil, nil
	if cap(t.spill) > maxSpill {
		t.spill = nil
	}
	if l != nil {
		l.before, l.noWait = nil, false
		if keep && c.Conn != nil {
			t.limitIdle(c)
			l.reader.Finish()
			keep = l.clean()
		}
		if !keep || c.Conn == nil {
			l.reader.Close()
		}
	}
	if c.Conn != nil {
		c.Release(t.x.Now, keep)
	}
}

// limitIdle applies the server's Keep-Alive: timeout to the connection.
func (t *attempt) limitIdle(c upstream.Lease) {
	if d, ok := t.response.KeepAliveTimeout(); ok {
		c.LimitIdle(d)
		t.x.s.server.endsAt(t.x.Now.Add(d))
	}
}

// maxSpill is the largest spill that an attempt keeps for reuse.
const maxSpill = 16 << 10

// reusable reports whether the connection can serve another exchange now that the response has been read to its end. One on which
// an announced body was not sent whole would take the next request for the rest of it.
func (t *attempt) reusable() bool {
	return t.response.KeepAlive && t.body.Done() && t.complete && t.err == nil
}

// failure describes how the attempt failed.
func (t *attempt) failure(kind call.Kind) call.Failure {
	return call.Failure{Kind: kind, ResponseStarted: t.interims > 0 || t.in.reader.Started(), Reused: t.Lease.Reused()}
}

// failed ends the attempt and reports that to the call.
func (x *exchange) failed(kind call.Kind, why routes.Detail) call.Action {
	t := x.cur
	t.stopStream()
	if x.upload.err != nil { // it has sent less than it announced, and the upstream gave up over that
		return x.uploadFailed()
	}
	if t.sent > 0 {
		x.Call.BytesAccepted(t.ID)
	}
	x.reportBody()
	f := t.failure(kind)
	x.Now = time.Now()
	x.attempted(t, kind, 0, why)
	t.drop()
	return x.Call.AttemptFailed(x.Now, t.ID, f)
}

// attemptTimeout ends the attempt because a deadline of the call's has passed.
func (x *exchange) attemptTimeout() call.Action {
	return x.failed(call.AttemptTimeout, drive.DetailOfLimit(x.Call.Limit(x.cur.ID)))
}

// idleTimeout ends the attempt because no byte moves any more. If the rest of the request was waited for, the client is at fault.
func (x *exchange) idleTimeout() call.Action {
	if x.cur.awaitsClient() {
		return x.clientGone(routes.DetailIdle)
	}
	return x.failed(call.AttemptTimeout, routes.DetailIdle)
}

// clientGone ends the call because its client has gone.
func (x *exchange) clientGone(why routes.Detail) call.Action {
	x.cur.stopStream()
	x.Now = time.Now()
	x.attempted(x.cur, call.ClientGone, 0, why)
	x.cur.drop()
	return x.Call.ClientGone(x.Now)
}

// startStream sends the request in a goroutine of its own, which wakes the session's (transport.Conn.Wake) when it ends.
func (t *attempt) startStream() {
	t.streaming, t.ended = true, false
	t.panicked = panics.Carrier{}
	go t.run()
}

// stream is the goroutine of startStream.
func (t *attempt) stream() {
	defer func() {
		t.mu.Lock()
		t.ended = true
		t.mu.Unlock()
		t.Lease.Wake()
		t.done <- struct{}{}
	}()
	defer t.panicked.Catch()
	t.sendStream()
}

// joinStream takes over what was stream's, which has ended or is about to.
func (t *attempt) joinStream() {
	<-t.done
	t.joined()
}

// joined is joinStream when the end has been received already.
func (t *attempt) joined() {
	t.streaming = false
	_ = t.Lease.ClearDeadlines() // fails only when the connection is closed already
	t.panicked.Raise()
}

// tryJoin joins if sending has ended, and reports whether it has.
func (t *attempt) tryJoin() bool {
	if !t.streaming {
		return true
	}
	t.mu.Lock()
	ended := t.ended
	t.mu.Unlock()
	if ended {
		t.joinStream()
	}
	return ended
}

// stopStream ends the sending if it has not ended. The connection is good for nothing after that.
func (t *attempt) stopStream() {
	if t.streaming {
		t.haltStream()
		t.joined()
	}
}

// haltStream is stopStream without looking at how the goroutine ended.
func (t *attempt) haltStream() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.Lease.StopWriting()
	client := t.x.s.client.Conn
	client.Wake()
	<-t.done
	_ = client.ClearDeadlines() // drops the wake-up if nothing has waited for it
}

// whole reports whether the whole request was sent. One of which the last byte was accepted has ended, or is about to.
func (t *attempt) whole() bool {
	if !t.streaming {
		return t.complete
	}
	t.mu.Lock()
	complete := t.complete
	t.mu.Unlock()
	if complete {
		t.joinStream()
	}
	return complete
}

// awaitsClient reports whether the client is what the sending of the request waits for.
func (t *attempt) awaitsClient() bool {
	if !t.streaming {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.complete && !t.blocked && t.err == nil
}

// lastProgress is when a byte last went in either direction.
func (t *attempt) lastProgress(now time.Time) time.Time {
	if got := t.in.received; got != t.receivedBefore {
		t.receivedBefore, t.receivedAt = got, now
	}
	t.mu.Lock()
	moved := t.progressAt
	t.mu.Unlock()
	if moved.After(t.receivedAt) {
		return moved
	}
	return t.receivedAt
}

var _ io.Writer = (*attempt)(nil)

// Write implements io.Writer for the request's bytes.
func (t *attempt) Write(p []byte) (int, error) {
	n, err := t.tryWrite(p)
	if err == nil && n < len(p) {
		var rest int
		rest, err = t.writeSlowly(p[n:])
		n += rest
	}
	return n, err
}

// tryWrite writes what the kernel takes at once. That and the account of it are one step for others: who has an answer to the
// whole request finds that the whole was sent.
func (t *attempt) tryWrite(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock() // also in a panic: who ends the sending takes the lock
	n, err := t.Lease.TryWrite(p)
	t.wrote(n, len(p))
	return n, err
}

// wrote accounts for a write of which n bytes were accepted. It expects the lock.
//
//go:noinline
func (t *attempt) wrote(n, of int) {
	t.sent += n
	switch {
	case n == 0 || t.x.Plan.Settings.Timeouts.Idle <= 0:
	case t.streaming || t.blocked:
		t.progressAt = time.Now()
	default: // the clock was read on the way here
		t.progressAt = t.x.Now
	}
	if t.final && n == of {
		t.complete, t.written = true, time.Now()
	}
}
