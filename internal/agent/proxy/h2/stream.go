package h2

import (
	"context"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/method"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// phase is what a stream waits for.
type phase uint8

const (
	over       phase = iota // nothing: it is used for no call
	waiting                 // the end of a wait between attempts or at a gate
	parked                  // a place in the pool
	joined                  // a connection that is made for another call
	finding                 // addresses that it needs
	dialling                // its connection
	trying                  // the response
	forwarding              // the rest of the response, and of the request
)

// stream is a client's stream: one call. It is guarded by its session's lock, and used again for another call of the session.
type stream struct {
	// immutable
	s *Session

	id        uint32
	phase     phase
	call      call.Call
	slot      upstream.Request
	governing *routes.Route // nil: no policy governs the call
	pool      *upstream.Pool
	recorder  routes.Recorder
	plan      *routes.Plan
	pinned    bool
	to        netip.AddrPort // that is connected to where it is pinned
	// onFallback: attempts are made where the call falls back on, which governing, pool, to and secured are of then
	onFallback bool
	secured    bool // by a handshake
	abandoned  bool // its call has ended while its connection is made
	started    time.Time

	// the request
	head     http2.Block
	headSize int  // what it took when the stream was opened
	charged  int  // memory of heads that is accounted for
	spare    bool // it is kept for a call to come
	request  http2.Message
	trailers http2.Block
	trailing bool // there are trailers
	ended    bool // it has come to its end
	body     queue
	owed     int // bytes received that the connection's window was not opened for again
	recv     http2.ReceiveWindow
	replay   drive.Replay
	bodyCame bool // a piece of its body has come
	behind   bool // the server's connection takes nothing at the time of that which came last
	begun    bool // an attempt has begun
	key      []byte
	set      []http2.Field // fields added for the policy
	field    [4]http2.Field
	before   int    // attempts that were made before the call arrived
	mark     []byte // the number of an attempt
	numbers  bool   // attempts carry it
	rpc      rpc

	// Two attempts at most hold something at a time: the one under way and the one whose response may have to be forwarded later.
	attempts [2]attempt
	cur      *attempt
	kept     *attempt // nil: none
	answer   *attempt // whose response is forwarded
	// beside are attempts under way beside cur, more is memory for them, hedges are those that have no connection yet; see race.
	beside []*attempt
	more   []*attempt
	hedges []*stream
	lead   *stream // that x is a hedge of; nil: it is none

	// the response
	send    http2.SendWindow
	blocked bool // it is among Session.blocked
	closed  bool // the client has its END_STREAM

	action    call.Action // the attempt that is placed
	until     time.Time   // the call's next deadline
	placedAt  time.Time   // when it was asked for
	pending   time.Time   // until when it may be parked
	keptBy    time.Time   // until when the kept response may occupy a connection meanwhile
	moved     time.Time   // when bytes last went in either direction
	sentAt    time.Time   // when the server last took something of the request
	answered  time.Time   // when the last ones came from the server
	place     int         // in the heap, from 1 on; 0: not there
	due       time.Time
	cancel    context.CancelFunc // of the dial
	truncated bool
	refused   bool // the client got REFUSED_STREAM for an answer
	drive.Record
}

func newStream(s *Session) *stream {
	x := &stream{s: s}
	x.slot.Multiplexed = true
	x.slot.Wake = func() { s.wake(x) }
	x.call.OnWake = x.slot.Wake
	x.replay.Init(s.client.Share.Replay)
	for i := range x.attempts {
		x.attempts[i].x = x
	}
	return x
}

// begin begins the call of a request whose head is in x.head.
func (x *stream) begin(id uint32, end bool, b *batch) {
	s := x.s
	x.id, x.ended = id, end
	x.cur, x.kept, x.answer, x.beside = &x.attempts[0], nil, nil, x.beside[:0]
	for t := range x.all {
		t.renew()
	}
	x.trailing, x.begun, x.bodyCame, x.closed, x.truncated, x.abandoned, x.refused = false, false, false, false, false, false, false
	x.set = nil
	x.Record.Reset()
	x.started, x.moved, x.answered = s.now, s.now, s.now
	x.send.Init(s.peer.InitialWindowSize)
	x.recv.Init(streamWindow)
	x.replay.Begin(x.plan.Settings.Retry.BodyMaxBytes)
	s.act(x, x.call.Begin(s.now, &x.plan.Plan, x.describe()), b)
}

// describe describes the request for the call, and adds an idempotency key to it if the policy says so.
func (x *stream) describe() call.Request {
	q := call.Request{
		Method: method.ClassOf(x.head.Method()), HasBody: !x.ended, Refusable: true, Tunnel: string(x.head.Method()) == "CONNECT",
	}
	x.describeRPC(&q)
	x.slot.Careful = q.Method == call.Unsafe
	keyed, generate := drive.Key(x.plan, &x.head, q.Method, q.Tunnel)
	if generate {
		x.key = drive.AppendKey(x.key[:0])
		x.field[0] = http2.Field{Name: []byte(x.plan.KeyHeader), Value: x.key}
		x.set = x.field[:1]
	}
	q.Keyed, q.ShadowKeyed = keyed, drive.ShadowKeyed(x.plan, &x.head, q.Method, q.Tunnel)
	x.numbers = x.plan.Settings.AttemptHeader
	x.before = drive.AttemptsBefore(x.plan, &x.head, x.rpc.is)
	q.Retried = x.before > 0
	x.BeginTrace(x.s.now, x.plan, &x.call, &x.head)
	x.Watch(&x.call, drive.Watchable{Client: x.s.client, Route: x.governing, Plan: x.plan, View: &x.head, GRPC: x.rpc.is})
	return q
}

// target finds what governs the request in x.head.
func (x *stream) target() {
	s := x.s
	x.onFallback = false
	r, ok := s.routes.Select(&x.head)
	if x.governing = r; !ok {
		x.governing = nil
		x.pool, x.recorder, x.plan, x.pinned = s.direct(), routes.Discard{}, &s.driver.ungoverned, true
		x.to, x.secured = s.client.Original, false
		return
	}
	x.pool, x.recorder, x.plan, x.pinned = r.Pool, r.Recorder(), route.PlanFor(r, &x.head), s.routes.Pinned()
	x.to, x.secured = r.Connects(s.client.Original), r.Secured()
}

// act does what the call says, until something has to be waited for.
func (s *Session) act(x *stream, a call.Action, b *batch) {
	x = x.owner()
	for {
		for id := range a.Cancel.All() {
			x.giveUp(id, b)
		}
		switch a.Do {
		case call.Continue:
			x.until = a.Until
			s.schedule(x)
			return
		case call.AwaitTrailers:
			x.awaitTrailers(a)
			return
		case call.Wait, call.Park:
			x.phase, x.until = waiting, a.Until
			s.schedule(x)
			return
		case call.Inject:
			a = s.inject(x, a)
		case call.StartAttempt:
			var waits bool
			if a, waits = s.startAttempt(x, a, b); waits {
				return
			}
		case call.Forward, call.ForwardKept:
			x.forward(a, b)
			return
		case call.Reject:
			x.reject(b)
			return
		case call.Respond:
			x.answerOwn(b)
			return
		case call.Abort:
			x.finish(b)
			return
		}
	}
}

// inject reports an attempt that a fault has ended.
//
//go:noinline
func (s *Session) inject(x *stream, a call.Action) call.Action {
	return x.Inject(s.now, x.attemptRecorder(), &x.call, a)
}

// startAttempt places an attempt, which is a hedge's own doing. waits is as place has it.
func (s *Session) startAttempt(x *stream, a call.Action, b *batch) (next call.Action, waits bool) {
	on := x
	if a.Start == call.FallbackStart {
		x.fallBack()
	}
	if x.call.Beside(a.Attempt) {
		on = x.newHedge()
		x.until = x.call.NextAt()
	}
	next, waits = s.place(on, a, b)
	if waits {
		s.schedule(on)
		s.schedule(x)
	} else {
		on.placedOrNot()
	}
	return next, waits
}

// attemptOf returns the attempt with an id that holds something.
func (x *stream) attemptOf(id call.AttemptID) *attempt {
	for t := range x.all {
		if t.busy && t.ID == id {
			return t
		}
	}
	return x.cur
}

// clientGone ends the call because the client wants no answer any more.
func (x *stream) clientGone(c http2.Code, why routes.Detail, b *batch) {
	s := x.s
	switch x.phase {
	case over:
		return
	case forwarding:
		x.truncated = x.truncated || !x.closed || !x.answer.whole && x.answer.head.Status() < 400 // else nobody wants the rest of the request
		x.Detail = why
		x.answer.drop(c, s.now, b)
		x.finish(b)
		return
	case parked, joined:
		s.unpark(x)
	case finding:
		s.stopFinding(x)
	case dialling:
		x.abandoned = true
		x.cancel()
	case trying:
		x.attempted(x.cur, call.ClientGone, 0, why)
		x.cur.drop(c, s.now, b)
	case waiting:
	}
	x.Detail = why
	s.act(x, x.call.ClientGone(s.now), b)
}

// finish ends the stream, whose call has ended.
func (x *stream) finish(b *batch) {
	s := x.s
	if x.phase == forwarding {
		x.reportRPC(x.answer)
		e := call.End{Truncated: x.truncated, ClientGone: x.Detail == routes.DetailClientLeft, GRPCStatus: x.answer.rpc.Status()}
		x.call.Finished(s.now, x.answer.ID, e)
		if x.isTunnel() {
			x.recorder.TunnelEnded(s.now.Sub(x.started) - x.call.Outcome().Took)
		}
	}
	if x.closed && x.ended {
		s.flood.Completed()
	}
	for len(x.hedges) > 0 {
		s.abandonHedge(x.hedges[0])
	}
	for t := range x.all {
		t.drop(http2.Cancel, s.now, b)
	}
	s.account.add(-x.body.clear())
	x.replay.Release()
	x.report()
	s.giveBack(uint32(x.owed), b)
	x.owed = 0
	s.remove(x, b)
}
