package h2

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// orphaned are the fields that a call which begins its trace does not pass on.
var orphaned = []string{tracing.State}

// attempt is one attempt of a call: a stream on a connection to a server, and the response. It is guarded by its session's lock, but for
// what is named.
type attempt struct {
	x *stream // immutable

	drive.Attempt
	u      *serverConn // on which it has a stream; nil: it has none any more
	stream uint32
	// offset is where its request begins in the output of u, opened how many frames had come from u before.
	offset, opened uint64
	replayed       int64 // how much it has sent of what is kept of the body
	whole          bool  // it has sent the whole request

	response http2.Message
	head     http2.Block
	trailers http2.Block
	rpc      grpc.Response
	late     bool // it was reported before its gRPC status was known
	trailing bool // there are trailers
	never    bool // it got no stream
	ended    bool // the response has come to its end
	stopped  bool // the server wants no more of the request
	silent   bool // it is kept back for its trailers
	busy     bool // it is under way, or its response is held
	reported bool
	own      bool // it is none: the response is the policy's own
	interims int
	body     queue // of the response, as far as it was not forwarded
	owed     int   // bytes received that the connection's window was not opened for again
	recv     http2.ReceiveWindow

	// guarded by u.mu
	send  http2.SendWindow
	waits bool // it is among u.waiting
	stuck bool // it has something to send, and no window
}

// renew forgets what has become of the attempt that it was before, which may have been another call's: a call asks its attempt before that has a
// connection, too.
func (t *attempt) renew() {
	t.replayed, t.whole, t.trailing, t.never, t.ended, t.stopped, t.interims = 0, false, false, false, false, false, 0
	t.rpc, t.late, t.silent, t.own, t.reported = grpc.Response{}, false, false, false, false
}

// take begins an attempt on a connection. It fails when that has just ended.
func (t *attempt) take(l upstream.Lease, a call.Action, now time.Time, b *batch) bool {
	x := t.x
	u, _ := l.Attachment.(*serverConn)
	t.ID, t.Lease, t.Start, t.Began = a.Attempt, l, a.Start, now
	t.renew()
	t.busy = true
	set := x.outgoing(a.Attempt, now)
	t.response.InitResponse(&x.head)
	t.recv.Init(streamWindow)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.out.backlog() >= maxBacklog {
		u.leaving = true // it takes nothing any more
	}
	if t.never = u.leaving || u.nextID > http2.MaxStream; t.never {
		return false
	}
	t.u, t.stream = u, u.nextID
	u.nextID += 2
	u.attempts[t.stream] = holder{t, x.s, t.stream}
	if x.keepsAddress() && a.Start != call.Hedged {
		u.pinTo(x.s)
	}
	t.send.Init(u.peer.InitialWindowSize)
	t.waits, t.stuck = false, false
	t.offset, t.opened = u.out.appended, u.received
	t.whole = x.ended && x.body.size == 0 && x.replay.Pieces() == 0 && !x.trailing
	o := http2.Outgoing{Stream: t.stream, EndStream: t.whole, MaxFrame: u.peer.MaxFrameSize, Set: set, Authority: x.authority()}
	if x.Traced() && x.Orphaned() {
		o.Without = orphaned
	}
	u.out.put(u.enc.AppendHeaders(u.out.buffer(), &x.head, &o))
	u.flood.Sent(1)
	b.add(&u.out)
	return true
}

// leave gives up the attempt's stream, which is reset unless both sides have ended it.
func (t *attempt) leave(c http2.Code, b *batch) {
	u := t.u
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.forgetStream(t, b) && !(t.whole && t.ended) && !u.ended {
		u.out.put(http2.AppendRSTStream(u.out.buffer(), t.stream, c))
		b.add(&u.out)
	}
}

// detach forgets the attempt's stream, which is gone.
func (t *attempt) detach(b *batch) {
	u := t.u
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgetStream(t, b)
}

// forgetStream parts an attempt from its stream, and reports whether there still was one. It expects the lock.
func (u *serverConn) forgetStream(t *attempt, b *batch) (was bool) {
	u.forget(t)
	if h, ok := u.attempts[t.stream]; ok && h.t == t {
		delete(u.attempts, t.stream)
		was = true
	}
	if t.owed > 0 {
		u.giveBack(uint32(t.owed), b)
		t.owed = 0
	}
	t.u = nil
	return was
}

// sent reports whether a byte of the request may have been accepted by the kernel (rule 7).
func (t *attempt) sent() bool {
	if t.u == nil {
		return false
	}
	t.u.mu.Lock()
	defer t.u.mu.Unlock()
	return t.u.out.failed == nil || t.u.out.reached(t.offset) // what waits in the output of a sound connection is written sooner or later
}

// stale reports whether the connection was there before the attempt, and nothing has come on it since: it may have been closed before
// the request (rule 8).
func (t *attempt) stale() bool {
	if t.u == nil {
		return t.Lease.Reused()
	}
	t.u.mu.Lock()
	defer t.u.mu.Unlock()
	return t.Lease.Reused() && t.u.received == t.opened
}

// drop gives back what the attempt holds.
func (t *attempt) drop(c http2.Code, now time.Time, b *batch) {
	t.busy = false
	t.leave(c, b)
	t.x.s.account.add(-t.body.clear())
	if l := t.Lease; l.Conn != nil {
		t.Lease = upstream.Lease{}
		l.Release(now, true) // of a connection that is not fit any more its own goroutine has said so
	}
}

// failed ends the attempt under way and returns what the call decides.
func (x *stream) failed(kind call.Kind, why routes.Detail, b *batch) call.Action {
	t := x.cur
	if t.sent() {
		x.call.BytesAccepted(t.ID)
	}
	f := call.Failure{Kind: kind, ResponseStarted: t.interims > 0, Reused: t.stale()}
	return x.failedAs(kind, why, f, b)
}

// notTaken ends an attempt whose connection turned out to take nothing any more: that is the pool's failure, like a connection that was kept
// and is closed.
func (x *stream) notTaken(b *batch) call.Action {
	f := call.Failure{Kind: call.RefusedStream, PeerUnprocessed: true, PeerLeaving: true, Reused: true}
	return x.failedAs(f.Kind, routes.DetailClosed, f, b)
}

func (x *stream) failedAs(kind call.Kind, why routes.Detail, f call.Failure, b *batch) call.Action {
	t := x.cur
	x.reportBody()
	x.attempted(t, kind, 0, why)
	t.drop(http2.Cancel, x.s.now, b)
	x.next()
	return x.call.AttemptFailed(x.s.now, t.ID, f)
}
