package h2

import (
	"context"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/panics"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// acquire gets an attempt its connection and begins it. waits says that something has to be waited for; else the action says what follows.
func (s *Session) acquire(x *stream, a call.Action, b *batch) (next call.Action, waits bool) {
	x.action, x.placedAt = a, s.now
	r := &x.slot
	r.Original, r.Pinned, r.Fresh, r.Client = x.to, x.pinned, a.Fresh, s.client.ID
	r.Avoid = nil
	if a.Avoid {
		r.Avoid = x.call.Endpoints()
	}
	if x.governing.ThroughProxy() && !drive.FindProxy(x.governing, s.now, a.Until) {
		x.call.Placed(s.now, a.Attempt, netip.AddrPort{})
		x.last = routes.Attempt{Kind: call.ConnectFailed, Start: a.Start, Detail: routes.DetailProxyUnknown}
		x.reportLast()
		return x.call.AttemptFailed(s.now, a.Attempt, call.Failure{Kind: call.ConnectFailed}), false
	}
	answer, l := x.pool.Acquire(s.now, r)
	return s.placed(x, answer, l, b)
}

// placed acts on what the pool has said.
func (s *Session) placed(x *stream, answer upstream.Answer, l upstream.Lease, b *batch) (next call.Action, waits bool) {
	id := x.action.Attempt
	switch answer {
	case upstream.Ready:
		x.call.Placed(s.now, id, l.Peer())
		return s.start(x, l, b)
	case upstream.Dial:
		x.phase = dialling
		x.until = x.call.Placed(s.now, id, x.slot.Host().Addr()).Until
		s.beside.Add(1)
		go s.dial(x, s.dialContext(x))
	case upstream.Joined:
		x.phase = joined
		x.until = x.call.Placed(s.now, id, x.slot.Host().Addr()).Until
	case upstream.Parked:
		x.phase, x.until, x.pending = parked, x.action.Until, time.Time{}
		if limit := x.plan.Settings.Pool.PendingTimeout; limit > 0 {
			x.pending = s.now.Add(limit)
		}
	case upstream.Overflow:
		x.detail = routes.DetailQueueFull
		return x.call.LocalReject(s.now, id, call.Overflow), false
	case upstream.Failed:
		return s.notMade(x, x.slot.Err()), false
	}
	return call.Action{}, true
}

// dialContext bounds the making of a connection. The context ends with x.cancel.
func (s *Session) dialContext(x *stream) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	end, cause := x.until, error(nil)
	limit := x.plan.Settings.Timeouts.Connect
	if limit <= 0 {
		limit = s.driver.ConnectTimeout
	}
	x.slot.ConnectTimeout, x.slot.HandshakeTimeout = 0, 0
	if x.secured { // the limits are those of stages
		x.slot.ConnectTimeout, x.slot.HandshakeTimeout = limit, x.plan.Settings.Timeouts.TLSHandshake
	} else if connected := s.now.Add(limit); limit > 0 && (end.IsZero() || connected.Before(end)) {
		end, cause = connected, upstream.ErrConnectTimeout
	}
	if !end.IsZero() {
		bounded, release := context.WithDeadlineCause(ctx, end, cause)
		x.cancel = func() { release(); cancel() }
		return bounded
	}
	return ctx
}

// dial makes the connection for an attempt and begins that. It is a goroutine of its own.
func (s *Session) dial(x *stream, ctx context.Context) {
	defer s.beside.Done()
	defer s.recovered()
	s.mu.Lock()
	pool, cancel, limits, retry, route := x.pool, x.cancel, &x.plan.Settings.Pool, &x.plan.Settings.Retry, x.governing
	pinned := x.pinned
	s.mu.Unlock()
	panicked := true
	defer func() {
		if panicked { // whoever waits gets the place
			pool.Cancel(time.Now(), &x.slot)
		}
	}()
	l, err := pool.Dial(ctx, &x.slot)
	if err != nil && pinned && route.HasName() && retry.AvoidPreviousEndpoints {
		drive.FindOthers(ctx, route) // for the attempt that may follow
	}
	panicked = false
	cancel()
	now := time.Now()
	var b batch
	if err == nil {
		s.driver.adopt(l, limits, now, &b)
	}
	s.dialled(x, l, err, now, &b)
	b.flush()
}

// adopt begins to use a connection that was made, by whoever waits for it too.
func (d *Driver) adopt(l upstream.Lease, limits *policy.Pool, now time.Time, b *batch) {
	u := newServerConn(d, l.Conn, limits, now)
	u.mu.Lock()
	b.add(&u.out)
	capacity := u.capacity()
	u.mu.Unlock()
	l.SetCapacity(min(capacity, l.Expected())) // until the server has said how many
	go u.run()
}

// dialled goes on with a call whose connection was made, or not.
func (s *Session) dialled(x *stream, l upstream.Lease, err error, now time.Time, b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock(now)
	x.cancel = nil
	if x.abandoned {
		if err == nil {
			l.Release(now, true)
		}
		s.free(x)
		return
	}
	if err != nil {
		s.act(x, s.notMade(x, err), b)
		return
	}
	next, waits := s.start(x, l, b)
	if waits {
		s.schedule(x)
		return
	}
	s.act(x, next, b)
}

// notMade reports that there is no connection for an attempt.
func (s *Session) notMade(x *stream, err error) call.Action {
	id := x.action.Attempt
	kind, why := drive.FailureOf(err)
	if kind == call.ClientGone {
		return x.call.ClientGone(s.now)
	}
	if kind != call.Internal && drive.Passed(x.until, s.now) {
		kind, why = call.AttemptTimeout, drive.DetailOfLimit(x.call.Limit(id))
	}
	x.last = routes.Attempt{Kind: kind, Start: x.action.Start, Peer: x.slot.Host().Addr(), Took: s.now.Sub(x.placedAt), Detail: why}
	x.reportLast()
	if kind == call.Internal {
		return x.call.LocalReject(s.now, id, call.Internal)
	}
	return x.call.AttemptFailed(s.now, id, call.Failure{Kind: kind})
}

// start begins the attempt on a connection.
func (s *Session) start(x *stream, l upstream.Lease, b *batch) (next call.Action, waits bool) {
	t := x.cur
	x.until = x.call.Sending(s.now, x.action.Attempt).Until
	if !x.begun {
		x.begun = true
		x.replay.Start((!x.ended || x.body.size > 0) && x.call.NeedsReplay() && !x.oversized())
	}
	x.phase, x.moved, x.sentAt = trying, s.now, s.now
	if !t.take(l, x.action, s.now, b) {
		l.Drain() // the pool gives it to nobody any more
		return x.failed(call.Reset, routes.DetailClosed, true, b), false
	}
	s.offered(t.u, b)
	if x.pinned {
		s.pinTo(t.u)
	}
	if t.whole {
		x.until = x.call.RequestWritten(s.now, t.ID).Until
	} else {
		x.sendOrQueue(nil, b)
	}
	return call.Action{}, true
}

// oversized reports whether the body is known to be larger than what the policy keeps of one.
func (x *stream) oversized() bool {
	n, ok := x.head.ContentLength()
	return ok && n > x.replay.Limit()
}

// unpark gives up a place in the pool, whether it has been granted or not.
func (s *Session) unpark(x *stream) {
	x.pool.Cancel(s.now, &x.slot)
	s.unwake(x)
}

// recovered is deferred by goroutines that serve one session beside its own. It ends the session when they panic.
func (s *Session) recovered() {
	if recovered := recover(); recovered != nil {
		what, stack := panics.Cause(recovered)
		s.driver.Panicked(s.client.Pod, what, stack)
		s.client.Conn.ResetOnClose()
		s.client.Conn.Interrupt()
	}
}
