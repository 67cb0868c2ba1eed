package h2

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// place finds out what an attempt needs, gets it its connection and begins it. waits says that something has to be waited for; else next says
// what follows.
func (s *Session) place(x *stream, a call.Action, b *batch) (next call.Action, waits bool) {
	x.action = a
	if wait, unknown := drive.Unknown(x.governing, &x.owner().call, x.keepsAddress(), a, s.now); unknown {
		drive.ObserveLookup(&x.owner().call, s.now, a.Attempt)
		s.find(x, wait)
		return call.Action{}, true
	}
	return s.acquire(x, b)
}

// acquire gets an attempt its connection and begins it, as far as addresses are known.
func (s *Session) acquire(x *stream, b *batch) (next call.Action, waits bool) {
	x.placedAt = s.now
	if x.pool == nil {
		o := x.owner()
		o.Detail = routes.DetailLocal
		return o.call.LocalReject(s.now, x.action.Attempt, call.Internal), false
	}
	if r := x.governing; r.ByName() && !r.HasAddress() {
		o := x.owner()
		return o.NoAddress(s.now, r, &o.call, x.action), false
	}
	drive.Ask(&x.slot, x.action, &x.owner().call, x.to, x.keepsAddress())
	x.slot.Client = s.client.ID
	answer, l := x.pool.Acquire(s.now, &x.slot)
	return s.placed(x, answer, l, b)
}

// placed acts on what the pool has said.
func (s *Session) placed(x *stream, answer upstream.Answer, l upstream.Lease, b *batch) (next call.Action, waits bool) {
	id, o := x.action.Attempt, x.owner()
	switch answer {
	case upstream.Ready, upstream.Dial, upstream.Joined:
		drive.HoldPermit(&o.call, id, x.pool, &x.slot)
	case upstream.Parked, upstream.Overflow, upstream.Failed:
	}
	switch answer {
	case upstream.Ready:
		o.call.Placed(s.now, id, l.Peer())
		x.chosen(l)
		return s.start(x, l, b)
	case upstream.Dial:
		x.phase = dialling
		x.until = x.untilOf(o.call.Placed(s.now, id, x.slot.Host().Addr())).Until
		x.chosen(upstream.Lease{})
		s.connect(x)
	case upstream.Joined:
		x.phase = joined
		x.until = x.untilOf(o.call.Placed(s.now, id, x.slot.Host().Addr())).Until
		x.chosen(upstream.Lease{})
	case upstream.Parked:
		if x.lead != nil || x.action.Start == call.Hedged { // a hedge waits for no place
			s.unpark(x)
			return o.call.Unplaced(s.now, id), false
		}
		drive.ObserveQueued(&o.call, s.now, id)
		s.parked(x)
	case upstream.Overflow:
		if x.lead != nil || x.action.Start == call.Hedged {
			return o.call.Unplaced(s.now, id), false
		}
		x.Detail = routes.DetailQueueFull
		return x.call.LocalReject(s.now, id, call.Overflow), false
	case upstream.Failed:
		return s.notMade(x, x.slot.Err()), false
	}
	return call.Action{}, true
}

// chosen reports why the endpoint was chosen, to who watches the call. l is zero if the connection is still to be made.
func (x *stream) chosen(l upstream.Lease) {
	drive.ObserveChosen(&x.owner().call, x.s.now, x.action.Attempt, &x.slot, l)
}

// parked has a stream wait for a place in the pool. Where no limit is written that it waits at, it waits for its server to allow a stream, which
// is to be connected to it in time.
func (s *Session) parked(x *stream) {
	x.phase, x.until, x.pending, x.keptBy = parked, x.action.Until, time.Time{}, time.Time{}
	pool := &x.plan.Settings.Pool
	limit := pool.PendingTimeout
	if limit <= 0 && pool.MaxConnections <= 0 && pool.MaxConnectionsPerEndpoint <= 0 {
		limit = max(x.plan.Settings.Timeouts.Connect, 0)
		if limit == 0 {
			limit = s.driver.ConnectTimeout
		}
	}
	if limit > 0 {
		x.pending = s.now.Add(limit)
	}
	if x.kept != nil && x.kept.Lease.Conn != nil {
		x.keptBy = s.now.Add(keptWait)
	}
}

// start begins the attempt on a connection.
func (s *Session) start(x *stream, l upstream.Lease, b *batch) (next call.Action, waits bool) {
	if x.lead != nil {
		return s.startHedge(x, l, b)
	}
	t := x.cur
	x.call.Reached(x.action.Attempt, l.Peer())
	x.until = x.call.Sending(s.now, x.action.Attempt).Until
	if !x.begun {
		x.begun = true
		x.replay.Start((!x.ended || x.body.size > 0) && x.call.NeedsReplay() && !x.oversized())
	}
	x.phase, x.moved, x.sentAt = trying, s.now, s.now
	if !t.take(l, x.action, s.now, b) {
		l.Drain() // the pool gives it to nobody any more
		return x.notTaken(b), false
	}
	s.offered(t.u, b)
	if x.keepsAddress() {
		s.pinnedOn(t.u)
	}
	if t.whole {
		x.until = x.call.RequestWritten(s.now, t.ID).Until
	} else {
		x.sendOrQueue(nil, b)
	}
	return call.Action{}, true
}

// startHedge begins the attempt of a hedge on a connection.
func (s *Session) startHedge(h *stream, l upstream.Lease, b *batch) (next call.Action, waits bool) {
	x := h.lead
	h.placedOrNot()
	x.moved, x.sentAt = s.now, s.now // else it would be idle from its beginning when the others are
	t := x.attemptFor()
	x.call.Reached(h.action.Attempt, l.Peer())
	x.until = x.call.Sending(s.now, h.action.Attempt).Until
	if !t.take(l, h.action, s.now, b) {
		l.Drain()
		x.focus(t)
		return x.notTaken(b), false
	}
	s.offered(t.u, b)
	if t.whole {
		x.until = x.call.RequestWritten(s.now, t.ID).Until
	} else {
		x.upload(t, nil, b)
	}
	s.schedule(x)
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
