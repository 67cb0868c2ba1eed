package h2

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// overdue acts on a deadline of a stream that may have passed.
func (s *Session) overdue(x *stream, b *batch) {
	if !drive.Passed(x.deadline(), s.now) {
		return // it has moved
	}
	switch x.phase {
	case waiting:
		s.act(x, x.call.Timer(s.now), b)
	case finding:
		s.findTimeout(x, b)
	case parked, joined:
		if x.phase == parked && drive.Passed(x.keptBy, s.now) {
			x.keptLost(b)
			if !drive.Passed(x.deadline(), s.now) {
				return
			}
		}
		s.queueTimeout(x, b)
	case trying:
		if s.raceDue(x, b) {
			return
		}
		if x.cur.silent && drive.Passed(x.until, s.now) {
			x.keptLongEnough(b)
			return
		}
		s.act(x, x.timeout(b), b)
	case forwarding:
		x.cut(x.passed(), b)
	case over, dialling:
	}
}

// queueTimeout ends the wait for a place in the pool, or for another call's connection.
func (s *Session) queueTimeout(x *stream, b *batch) {
	id := x.action.Attempt
	placed := x.phase == joined
	s.unpark(x)
	o := x.owner()
	x.placedOrNot()
	switch {
	case placed:
		o.Ended(x.attemptRecorder(), id, routes.Attempt{
			Kind: call.AttemptTimeout, Start: x.action.Start, Took: s.now.Sub(x.placedAt), Detail: drive.DetailOfLimit(o.call.Limit(id)),
		})
		s.act(o, o.call.AttemptFailed(s.now, id, call.Failure{Kind: call.AttemptTimeout}), b)
	case drive.Passed(x.until, s.now):
		x.Detail = drive.DetailOfLimit(x.call.Limit(id))
		s.act(x, x.call.Timer(s.now), b)
	default:
		x.Detail = routes.DetailQueueTimeout
		s.act(x, x.call.LocalReject(s.now, id, call.Overflow), b)
	}
}

// timeout ends the attempt under way because a deadline has passed.
func (x *stream) timeout(b *batch) call.Action {
	limits, now := &x.plan.Settings.Timeouts, x.s.now
	switch {
	case drive.Passed(x.until, now):
		return x.failed(call.AttemptTimeout, drive.DetailOfLimit(x.call.Limit(x.cur.ID)), b)
	case limits.Write > 0 && x.stuck() && now.Sub(x.sentAt) >= limits.Write && limits.Write != limits.Idle:
		return x.failed(call.AttemptTimeout, routes.DetailWrite, b)
	case !x.ended && !x.stuck(): // the client is what is waited for
		x.attempted(x.cur, call.ClientGone, 0, routes.DetailIdle)
		x.cur.drop(http2.Cancel, now, b)
		x.s.reset(x, http2.Cancel, b)
		return x.call.ClientGone(now)
	}
	return x.failed(call.AttemptTimeout, routes.DetailIdle, b)
}

// passed says which deadline of a response that is forwarded has passed.
func (x *stream) passed() routes.Detail {
	limits, now := &x.plan.Settings.Timeouts, x.s.now
	switch {
	case drive.Passed(x.until, now):
		return routes.DetailMaxDuration
	case limits.Idle > 0 && now.Sub(x.moved) >= limits.Idle:
		return routes.DetailIdle
	}
	return routes.DetailRead
}

// cut ends a response, or the request behind it, that cannot be forwarded to its end.
func (x *stream) cut(why routes.Detail, b *batch) { x.cutWith(http2.Cancel, why, b) }

func (x *stream) cutWith(c http2.Code, why routes.Detail, b *batch) {
	x.truncated, x.Detail = true, why
	x.s.reset(x, c, b)
	x.finish(b)
}
