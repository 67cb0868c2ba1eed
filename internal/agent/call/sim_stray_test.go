package call

import (
	"errors"
	"time"
)

// stray has a driver report what it should not, or twice, or too late, as real ones do when events cross: of attempts that are over,
// of calls that have ended. Nothing follows from it.
func (w *world) stray(s *simCall, now time.Time) error {
	over := ^s.live() & 0x3f // also ids that no attempt has
	if s.plan == nil || over == 0 {
		return nil
	}
	w.strays++
	before, ended := s.call.Outcome(), s.call.Ended()
	a, answers := w.strayEvent(s, now, w.pick(over))
	g := given{name: "stray"}
	switch {
	case s.call.Outcome() != before || s.call.Ended() != ended:
		return w.explain(errors.New("the outcome changed by what is over"), s, now, a, g)
	case answers && a != s.goOn():
		return w.explain(errors.New("the driver is not to go on with what it does"), s, now, a, g)
	}
	return nil
}

// goOn is the answer to an event that changes nothing.
func (s *simCall) goOn() Action {
	switch s.state {
	case simParked:
		return Action{Do: Park, Until: s.until}
	case simReserved, simWaiting:
		return Action{Do: Wait, Until: s.until}
	case simTrying:
		return Action{Do: Continue, Until: s.until}
	case simIdle, simForwarding:
	}
	return Action{}
}

// strayEvent reports one thing of an attempt that is over, or of the call if that is over. Some have no answer.
func (w *world) strayEvent(s *simCall, now time.Time, id AttemptID) (a Action, answers bool) {
	if s.call.Ended() && w.random.IntN(3) == 0 {
		return w.lateEvent(s, now), true
	}
	switch w.random.IntN(12) {
	case 0:
		return s.call.Placed(now, id, endpoint), true
	case 1:
		return s.call.Sending(now, id), true
	case 2:
		return s.call.RequestWritten(now, id), true
	case 3:
		return s.call.ResponseHead(now, id, plain(503)), true
	case 4:
		return s.call.AttemptFailed(now, id, stale.Failure), true
	case 5:
		return s.call.LocalReject(now, id, Overflow), true
	case 6:
		return s.call.Interim(now, id), true
	case 7:
		s.call.BytesAccepted(id)
	case 8:
		if s.state != simParked {
			return s.call.Woken(now), true
		}
	case 9:
		if s.state != simForwarding || id != s.answer {
			s.call.Finished(now, id, End{Truncated: true})
		}
	case 11:
		return s.call.MessageBegun(now, id), true
	case 10:
		if s.until.IsZero() || now.Before(s.until) {
			return s.call.Timer(now), true
		}
	}
	return Action{}, false
}

// lateEvent reports one thing of a call that is over.
func (w *world) lateEvent(s *simCall, now time.Time) Action {
	switch w.random.IntN(3) {
	case 0:
		return s.call.ClientGone(now)
	case 1:
		return s.call.Timer(now.Add(time.Hour))
	}
	return s.call.Woken(now)
}
