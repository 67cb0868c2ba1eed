package h2

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// connect has the connection made for an attempt that was placed. The context ends with x.cancel.
func (s *Session) connect(x *stream) {
	d := &drive.Dialling{
		Request: &x.slot, Pool: x.pool, Route: x.governing, Plan: x.plan, Secured: x.secured,
		Client: s.client, ConnectTimeout: s.driver.ConnectTimeout, Now: s.now, Until: x.until,
	}
	var ctx context.Context
	ctx, x.cancel = d.Context()
	s.beside.Add(1)
	go s.dial(ctx, x, d)
}

// dial makes the connection for an attempt and begins that. It is a goroutine of its own.
func (s *Session) dial(ctx context.Context, x *stream, d *drive.Dialling) {
	defer s.beside.Done()
	defer s.recovered()
	panicked := true
	defer func() {
		if panicked { // whoever waits gets the place
			d.Pool.Cancel(time.Now(), d.Request)
		}
	}()
	l, err := d.Dial(ctx)
	panicked = false
	now := time.Now()
	flushed(func(b *batch) {
		if err == nil {
			u := s.driver.adopt(l, s.client, &d.Plan.Settings.Pool, now, b)
			// Read from when the attempt has begun, so that it hears of what ends the connection, however soon that comes.
			defer func() { go u.run() }()
		}
		s.dialled(x, l, err, now, b)
	})
}

// adopt begins to use a connection that was made, by whoever waits for it too. It is still to be run.
func (d *Driver) adopt(l upstream.Lease, client *drive.Client, limits *policy.Pool, now time.Time, b *batch) *serverConn {
	u := newServerConn(d, l.Conn, client, limits, now)
	u.touched(b)
	l.SetCapacity(l.Expected()) // until the server has said how many
	return u
}

// dialled goes on with a call whose connection was made, or not.
func (s *Session) dialled(x *stream, l upstream.Lease, err error, now time.Time, b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock(now)
	x.cancel()
	x.cancel = nil
	switch {
	case x.abandoned:
		if err == nil {
			l.Release(now, true)
		}
		if x.lead == nil {
			s.free(x)
		}
	case err != nil:
		drive.HoldPermit(&x.owner().call, x.action.Attempt, x.pool, &x.slot)
		next, o := s.notMade(x, err), x.owner()
		x.placedOrNot()
		s.act(o, next, b)
	default:
		drive.HoldPermit(&x.owner().call, x.action.Attempt, x.pool, &x.slot)
		drive.ObserveConnected(&x.owner().call, now, x.action.Attempt, &x.slot, drive.Made{Lease: l, Took: now.Sub(x.placedAt)})
		s.goOn(x, func(x *stream, b *batch) (call.Action, bool) { return s.start(x, l, b) }, b)
	}
}

// notMade reports that there is no connection for an attempt.
func (s *Session) notMade(x *stream, err error) call.Action {
	u := drive.Unmade{Action: x.action, Err: err, Until: x.until, Peer: x.slot.Host().Addr(), Took: s.now.Sub(x.placedAt)}
	o := x.owner()
	return o.NotMade(s.now, x.attemptRecorder(), &o.call, u)
}

// contained has f act on the session, which ends if that panics: others must hear of the same.
func (s *Session) contained(f func()) {
	defer s.recovered()
	f()
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
