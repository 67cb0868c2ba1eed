package proxy

import (
	"net/http"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// exchange is one call on its way: what a session needs only while it serves a request. Exchanges are pooled, so that idle
// connections cost little.
type exchange struct {
	// immutable
	srv *Server

	s      *session // whose it is now
	now    time.Time
	parsed bool // request is complete
	// parseErr is why it cannot be
	parseErr error
	request  http1.Request
	upload   upload
	call     call.Call
	ticket   upstream.Request
	lane     *routes.Route
	plan     *routes.Plan
	extra    []byte // field lines added to the request
	without  string // the field that they replace, in lower case; empty: none

	// Two tries at most hold something at a time: the one under way and the one whose response may have to be forwarded later.
	tries [2]attempt
	cur   *attempt
	kept  *attempt // nil: none
	avoid []netip.AddrPort

	relaying relaying
	timer    *time.Timer
	parting  step // what the session does when the call was given up

	report routes.Exchange
	try    routes.Attempt
	past   []routes.Attempt  // those of the call that have ended
	detail routes.Detail // how the last of them did, or the call
}

func newExchange(srv *Server) *exchange {
	x := &exchange{srv: srv}
	x.ticket.Init()
	x.upload.srv = srv
	for i := range x.tries {
		x.tries[i].x = x
		x.tries[i].send, x.tries[i].run = x.tries[i].sendRequest, x.tries[i].stream
		x.tries[i].done = make(chan struct{}, 1)
	}
	x.relaying.moved = x.moveDeadlines
	return x
}

// reset makes x ready for another request.
func (x *exchange) reset() {
	x.parsed, x.parseErr = false, nil
	x.lane, x.plan = nil, nil
	x.cur, x.kept = &x.tries[0], nil
	x.avoid = x.avoid[:0]
	x.extra, x.without = x.extra[:0], ""
	x.past, x.detail, x.parting = x.past[:0], routes.NoDetail, hangUp
}

// abandon gives back whatever is held when serving ends before its time.
func (x *exchange) abandon() {
	x.upload.release()
	for i := range x.tries {
		x.tries[i].drop()
	}
	x.s.out.x = nil
	x.s = nil
}

// salvage gives back what others wait for, after a panic: places in the pool, the breaker's permit, replay memory. x is not used
// again, and whatever goes wrong here went wrong before.
func (x *exchange) salvage() {
	for _, giveBack := range [...]func(){x.salvageTries, x.salvagePlace, x.salvagePermit, x.upload.forfeit} {
		func() {
			defer func() { _ = recover() }()
			giveBack()
		}()
	}
}

func (x *exchange) salvageTries() {
	for i := range x.tries {
		t := &x.tries[i]
		if t.streaming {
			t.haltStream()
		}
		if c := t.conn; c != nil {
			t.conn = nil
			c.Release(false, time.Now())
		}
	}
}

func (x *exchange) salvagePlace() {
	if x.lane != nil {
		x.lane.Pool.Cancel(&x.ticket)
	}
}

func (x *exchange) salvagePermit() { x.call.ClientGone(time.Now()) }

// selfContained reports whether the request can be served without reading from the client again.
func (x *exchange) selfContained() bool {
	q := &x.request
	switch q.Framing {
	case http1.NoBody:
	case http1.ContentLength:
		if q.Length > int64(len(x.s.line.reader.Buffered())) {
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
	lane, ok := s.route(&x.request)
	if !ok {
		s.rest = s.line.reader.Message()
		return passOn
	}
	x.now = time.Now()
	x.lane = lane
	if lane.HasRules() {
		x.plan = lane.Plan(x.request.Method(), routes.PathOf(x.request.Target()))
	} else {
		x.plan = lane.Plan(nil, nil)
	}
	limits := &x.plan.Settings.Timeouts
	s.out.stall = limits.Idle
	if limits.MaxDuration > 0 {
		s.out.until = x.now.Add(limits.MaxDuration)
	}
	if x.request.NoForwards() {
		return x.answerHere()
	}
	started := x.now
	x.upload.begin(&s.line, &x.request, x.plan.Settings.Retry.BodyMaxBytes)
	if broken := x.upload.broken(); broken != nil {
		return x.refuse(broken) // nothing of it is forwarded (rule 27)
	}
	s.out.x = x
	next := x.drive(x.call.Begin(x.now, x.plan.Plan, x.callRequest()))
	s.out.x, s.out.headBy, s.out.until = nil, time.Time{}, time.Time{}
	x.upload.release()
	if next == serveNext && !x.upload.done() {
		next = hangUp
	}
	s.restedAt(x.now)
	x.done(started)
	return next
}

// callRequest tells the call what it must know of the request, and adds a key to it if the policy says so. A key counts if it is
// forwarded and not empty; one is added to requests that lack it, but for those whose repetition nobody would notice (safe
// methods) and for CONNECT, whose answer is no result that a server could keep.
func (x *exchange) callRequest() call.Request {
	q := &x.request
	r := call.Request{Method: q.Class, HasBody: q.Framing != http1.NoBody}
	retry := &x.plan.Settings.Retry
	if q.Class == call.Safe || q.Class != call.Unsafe && !retry.GenerateKey || x.plan.KeyHeader == "" {
		return r
	}
	_, r.Keyed = q.ForwardedValue(x.plan.KeyHeader)
	if !r.Keyed && retry.GenerateKey && !q.Connect {
		x.extra, x.without = appendKey(x.extra, retry.KeyHeader), x.plan.KeyHeader
		r.Keyed = true
	}
	return r
}

// drive does what the call says until it has ended and its answer is forwarded.
func (x *exchange) drive(a call.Action) step {
	for {
		if a.Cancel {
			x.cur.drop()
		}
		switch a.Do {
		case call.StartTry:
			a = x.startTry(a)
		case call.Wait:
			a = x.wait(a)
		case call.Forward:
			x.dropKept()
			return x.forward(x.cur, a.Until)
		case call.ForwardKept:
			return x.forward(x.kept, a.Until)
		case call.Reject:
			x.dropKept()
			return x.reject()
		case call.Abort, call.Continue:
			x.cur.drop()
			x.dropKept()
			return x.parting
		}
	}
}

func (x *exchange) dropKept() {
	if x.kept != nil {
		x.kept.drop()
		x.kept = nil
	}
}

// done reports the call.
func (x *exchange) done(started time.Time) {
	e := &x.report
	e.Pod, e.Original, e.Rule, e.AccessLog = x.s.pod, x.s.original, x.plan.Rule, x.plan.Settings.AccessLog
	e.Outcome = x.call.Outcome()
	e.Took = x.now.Sub(started)
	e.Method, e.Host, e.Path = x.request.Method(), x.request.Host(), x.request.Target()
	e.Tries, e.Detail = x.past, x.detail
	x.lane.Recorder().CallDone(e)
	e.Method, e.Host, e.Path, e.Tries, e.Truncated = nil, nil, nil, nil, false
}

// reject answers locally (rule 26).
func (x *exchange) reject() step {
	kind := x.call.Outcome().Kind
	r := http1.Reply{Status: kind.Status(), Reason: kind.Reason(), ToHead: x.request.Asked().Head}
	if kind == call.RateLimited {
		r.RetryAfter = 1
	}
	// Where the client chose the address, a failure to reach it ends its connection as it would without a proxy, so that the client
	// looks the name up again.
	failed := r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout
	keep := x.request.KeepAlive && !x.srv.draining.Load() && !(x.s.pinned && failed) && x.upload.finish()
	switch {
	case !keep:
		r.Say = http1.SayClose
	case x.request.Minor == 0:
		r.Say = http1.SayKeepAlive
	}
	if _, err := r.WriteTo(&x.s.out); err != nil {
		return hangUp
	}
	if !keep {
		x.s.brokenOff = failed
		return hangUpGently
	}
	return serveNext
}
