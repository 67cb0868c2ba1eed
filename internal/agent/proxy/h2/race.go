package h2

import (
	"slices"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// While a call is hedged (rule 17) attempts are under way beside stream.cur, which is the one that something happens to. A hedge that has no connection yet
// is a stream of its own, which places an attempt for its lead and is nothing else.

// owner is the stream whose call x is about.
func (x *stream) owner() *stream {
	if x.lead != nil {
		return x.lead
	}
	return x
}

// newHedge returns what places an attempt beside those of x.
func (x *stream) newHedge() *stream {
	h := newStream(x.s)
	h.lead = x
	h.governing, h.pool, h.recorder, h.plan, h.pinned, h.to, h.secured = x.governing, x.pool, x.recorder, x.plan, x.pinned, x.to, x.secured
	h.slot.Careful = x.slot.Careful
	x.hedges = append(x.hedges, h)
	return h
}

// placedOrNot forgets a hedge that has placed its attempt, or cannot.
func (x *stream) placedOrNot() {
	if x.lead == nil {
		return
	}
	x.s.unschedule(x)
	x.phase = over
	x.lead.hedges = slices.DeleteFunc(x.lead.hedges, func(h *stream) bool { return h == x })
}

// abandonHedge gives up a hedge whose attempt has no connection yet.
func (s *Session) abandonHedge(h *stream) {
	switch h.phase {
	case parked, joined:
		s.unpark(h)
	case finding:
		s.stopFinding(h)
	case dialling:
		h.abandoned = true
		h.cancel()
	case over, waiting, trying, forwarding:
	}
	h.placedOrNot()
}

// untilOf is when an attempt that is placed ends.
func (x *stream) untilOf(a call.Action) call.Action {
	o := x.owner()
	if o.plan.Hedge.Max > 0 { // else nothing else is due
		a.Until = o.call.AttemptDeadline(x.action.Attempt)
	}
	return a
}

// underWay reports whether an attempt waits for its response.
func (x *stream) underWay(t *attempt) bool {
	return x.phase == trying && (t == x.cur || slices.Contains(x.beside, t))
}

// focus has what follows be about an attempt that is under way.
func (x *stream) focus(t *attempt) {
	if t == x.cur {
		return
	}
	if i := slices.Index(x.beside, t); i >= 0 {
		x.beside[i] = x.cur
	}
	x.cur = t
	x.beside = slices.DeleteFunc(x.beside, func(o *attempt) bool { return !o.busy })
}

// next makes another attempt that is under way the current one, in place of one that is no more. If there is none it is one that holds nothing.
func (x *stream) next() {
	if n := len(x.beside); n > 0 {
		x.cur, x.beside = x.beside[n-1], x.beside[:n-1]
		return
	}
	x.cur = x.spareAttempt()
}

// all are the attempts of the stream, of which some hold nothing.
func (x *stream) all(yield func(*attempt) bool) {
	for i := range x.attempts {
		if !yield(&x.attempts[i]) {
			return
		}
	}
	for _, t := range x.more {
		if !yield(t) {
			return
		}
	}
}

// spareAttempt returns one that holds nothing.
func (x *stream) spareAttempt() *attempt {
	for t := range x.all {
		if !t.busy {
			t.renew()
			return t
		}
	}
	t := &attempt{x: x}
	x.more = append(x.more, t)
	return t
}

// attemptFor returns what an attempt is made with that has its connection.
func (x *stream) attemptFor() *attempt {
	if !x.cur.busy {
		return x.cur
	}
	t := x.spareAttempt()
	x.beside = append(x.beside, t)
	return t
}

// giveUp gives up an attempt.
func (x *stream) giveUp(id call.AttemptID, b *batch) {
	for _, h := range x.hedges {
		if h.action.Attempt == id {
			x.s.abandonHedge(h)
			return
		}
	}
	for t := range x.all {
		if t.ID == id && t.busy {
			x.giveUpAttempt(t, b)
			return
		}
	}
}

func (x *stream) giveUpAttempt(t *attempt, b *batch) {
	if !t.reported {
		kind, why := call.Superseded, routes.NoDetail
		if x.call.Ended() && x.call.Outcome().Kind == call.ClientGone {
			kind, why = call.ClientGone, routes.DetailClientLeft
		}
		x.attempted(t, kind, 0, why)
	}
	t.drop(http2.Cancel, x.s.now, b)
	switch t {
	case x.kept:
		x.kept = nil
	case x.cur:
		x.next()
	default:
		x.beside = slices.DeleteFunc(x.beside, func(o *attempt) bool { return o == t })
	}
}

// raceDue ends an attempt that is overdue, or starts another one beside those under way, where a plan hedges. done is false if it is not time for either.
func (s *Session) raceDue(x *stream, b *batch) (done bool) {
	if x.plan.Hedge.Max == 0 || !drive.Passed(x.until, s.now) {
		return false
	}
	for t := range x.all {
		if !x.underWay(t) || !t.busy || !drive.Passed(x.call.AttemptDeadline(t.ID), s.now) {
			continue
		}
		x.focus(t)
		if t.silent {
			x.keptLongEnough(b)
		} else {
			s.act(x, x.failed(call.AttemptTimeout, drive.DetailOfLimit(x.call.Limit(t.ID)), b), b)
		}
		return true
	}
	x.reportBody()
	s.act(x, x.call.Timer(s.now), b)
	return true
}

// bodyKept reports to the call, for which that matters, whether the whole body is there to be sent beside an attempt that has sent it.
func (x *stream) bodyKept() {
	if x.plan.Hedge.Max > 0 && x.ended && x.body.size == 0 && !x.replay.Lost() {
		x.call.BodyKept()
	}
}
