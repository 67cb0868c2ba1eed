package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// exchange is one call on its way: what a session needs only while it serves a request. Exchanges are pooled, so that idle
// connections cost little. It implements drive.Protocol.
type exchange struct {
	drive.Exchange

	// immutable
	driver *Driver

	s      *Session // whose it is now
	out    clientWriter
	parsed bool // request is complete
	// parseErr is why it cannot be
	parseErr error
	request  http1.Request
	upload   upload
	extra    []byte   // field lines added to the request
	without  []string // the fields that they, and those of the attempt, replace, in lower case
	before   int      // attempts that were made before the call arrived

	// Two attempts at most hold something at a time: the one under way and the one whose response may have to be forwarded later.
	attempts [2]attempt
	cur      *attempt
	kept     *attempt // nil: none
	// more are for attempts beside those, and arrived receives when one of several has got somewhere; see race.
	more    []*attempt
	arrived chan struct{}

	relaying relaying
	after    call.Action // what the call has said to the head of the response
	next     step        // what the session does when the call has ended
	onAbort  step        // what it does when the call was given up
}

var _ drive.Protocol = (*exchange)(nil)

func newExchange(d *Driver) *exchange {
	x := &exchange{driver: d}
	x.out.x = x
	x.Init()
	for i := range x.attempts {
		x.initAttempt(&x.attempts[i])
	}
	x.relaying.progressed = x.moveDeadlines
	return x
}

func (x *exchange) initAttempt(t *attempt) {
	t.x = x
	t.send, t.run = t.sendRequest, t.stream
	t.done = make(chan struct{}, 1)
}

// reset makes x ready for another request.
func (x *exchange) reset() {
	x.Reset()
	x.parsed, x.parseErr = false, nil
	x.cur, x.kept = &x.attempts[0], nil
	x.extra, x.without = x.extra[:0], x.without[:0]
	x.onAbort = closeNow
	x.out.until, x.out.headBy, x.out.stall = time.Time{}, time.Time{}, 0
}

// serveFor makes x a session's.
func (x *exchange) serveFor(s *Session) {
	x.s, x.out.conn = s, s.client.Conn
	x.upload.replay.Init(s.client.Share.Replay)
}

// free ends that.
func (x *exchange) free() { x.s, x.Client, x.out.conn = nil, nil, nil }

// abandon gives back whatever is held when serving ends before its time.
func (x *exchange) abandon() {
	x.upload.replay.Release()
	for t := range x.all {
		t.halt()
		t.drop()
	}
	x.free()
}

// releaseAfterPanic gives back what others wait for: places in the pool, the breaker's permit, replay memory. x is not used
// again.
func (x *exchange) releaseAfterPanic() {
	drive.Try(x.releaseAttempts)
	x.ReleaseAfterPanic()
	drive.Try(x.upload.replay.Forfeit)
}

func (x *exchange) releaseAttempts() {
	for t := range x.all {
		if t.beside != nil {
			drive.Try(t.halt)
		} else if t.streaming {
			t.haltStream()
		}
		if t.in != nil {
			t.in.reader.Forfeit()
		}
		if c := t.Lease; c.Conn != nil {
			t.Lease = upstream.Lease{}
			c.Release(time.Now(), false)
		}
	}
}

// selfContained reports whether the request can be served without reading from the client again.
func (x *exchange) selfContained() bool {
	q := &x.request
	switch q.Framing {
	case http1.NoBody:
	case http1.ContentLength:
		if q.Length > int64(len(x.s.in.reader.Buffered())) {
			return false
		}
	case http1.Chunked, http1.UntilClose, http1.Tunnel:
		return false
	}
	return !q.Upgrade && !q.Connect && !q.Expect100
}

// serve serves the request and says what its session does next.
func (x *exchange) serve() step {
	s := x.s
	r, ok := s.route(&x.request)
	if !ok {
		s.prefix = s.in.reader.Message()
		return passThrough
	}
	x.Now = time.Now()
	x.Client, x.Route, x.Pinned = s.client, r, s.routes.Pinned()
	x.Plan = route.PlanFor(r, &x.request)
	limits := &x.Plan.Settings.Timeouts
	x.out.stall = limits.Idle
	if limits.MaxDuration > 0 {
		x.out.until = x.Now.Add(limits.MaxDuration)
	}
	if x.request.NoForwards() {
		return x.answerMaxForwards()
	}
	started := x.Now
	x.upload.begin(&s.in, &x.request, x.Plan.Settings.Retry.BodyMaxBytes)
	if broken := x.upload.broken(); broken != nil {
		return x.refuse(broken) // nothing of it is forwarded (rule 27)
	}
	x.Run(x, x.callRequest())
	next := x.next
	x.upload.replay.Release()
	if next == nextRequest && !x.upload.done() {
		next = closeNow
	}
	s.client.Activity.RestedAt(x.Now)
	x.Report(&x.request, started)
	return next
}

// callRequest describes the request for the call, and adds an idempotency key to it if the policy says so.
func (x *exchange) callRequest() call.Request {
	q := &x.request
	keyed, generate := drive.Key(x.Plan, q, q.Class, q.Connect)
	if generate {
		x.extra = append(append(x.extra, x.Plan.Settings.Retry.KeyHeader...), ": "...)
		x.extra, x.without = append(drive.AppendKey(x.extra), "\r\n"...), append(x.without, x.Plan.KeyHeader)
	}
	x.before = drive.AttemptsBefore(x.Plan, q, false)
	x.BeginTrace(x.Now, x.Plan, &x.Call, q)
	x.Watch(q, false)
	return call.Request{
		Method: q.Class, HasBody: q.Framing != http1.NoBody, Keyed: keyed, Tunnel: q.Connect, Retried: x.before > 0,
		ShadowKeyed: drive.ShadowKeyed(x.Plan, q, q.Class, q.Connect),
	}
}

// Attempt implements drive.Protocol.
func (x *exchange) Attempt(c upstream.Lease, id call.AttemptID, start call.Start) call.Action {
	x.cur.take(c, id, start)
	switch {
	case x.upload.awaits100:
		return x.sendExpecting()
	case x.atOnce():
		x.bodyKept()
		x.cur.in.before = x.cur.send
		return x.awaitHead()
	}
	return x.sendBeside()
}

// Cancel implements drive.Protocol.
func (x *exchange) Cancel(id call.AttemptID) {
	if x.kept != nil && x.kept.ID == id {
		x.DropKept()
		return
	}
	for t := range x.all {
		if t.ID == id && (t.beside != nil || t.in != nil) {
			t.giveUp()
		}
	}
}

// Forward implements drive.Protocol.
func (x *exchange) Forward(id call.AttemptID, until time.Time) {
	t := x.cur
	if x.kept != nil && x.kept.ID == id {
		t = x.kept
		x.pinTo(t.server) // and not to that of the attempt which followed
	}
	x.next = x.forward(t, until)
}

// Abort implements drive.Protocol.
func (x *exchange) Abort() {
	x.cur.drop()
	x.DropKept()
	x.next = x.onAbort
}
