package call

import (
	"errors"
	"time"
)

// Attempts share connections, as streams of HTTP/2 do: what ends one of those ends many attempts at a moment, of calls in all states.

// simConns is how many connections there are at a time.
const simConns = 6

// simConn is a connection. Another one takes its place when it ends.
type simConn struct {
	born    int // by which streams of one that has ended are distinguished from those of its successor
	streams int // that were opened
}

// simStream is where an attempt is placed.
type simStream struct{ conn, born, id int }

// What an end of a connection meets.
const (
	simUnprocessed = iota // a stream above the last one of GOAWAY
	simCut                // one whose connection breaks
	simHeldCut            // one whose response is held back
	simKeptCut            // one whose response is kept
	simAnswerCut          // one whose response is being forwarded
	simUnmet              // one that goes on, behind GOAWAY
	simEnds
)

// open opens a stream on one of the connections.
func (w *world) open() simStream {
	i := w.random.IntN(simConns)
	c := &w.conns[i]
	c.streams++
	return simStream{i, c.born, c.streams}
}

// connectionEnds ends a connection: by GOAWAY, behind which some streams go on, or at once.
func (w *world) connectionEnds(now time.Time) error {
	i := w.random.IntN(simConns)
	c := &w.conns[i]
	ended := simStream{i, c.born, 0}
	goAway := w.random.IntN(2) == 0
	if goAway {
		ended.id = w.random.IntN(c.streams + 1) // the last one
	}
	c.born, c.streams = c.born+1, 0
	for k := range w.slots {
		for id := range w.slots[k].attempts {
			if err := w.meets(&w.slots[k], AttemptID(id), now, ended, goAway); err != nil {
				return err
			}
		}
	}
	return nil
}

// meets has the end of a connection meet an attempt, if it is placed there.
func (w *world) meets(s *simCall, id AttemptID, now time.Time, ended simStream, goAway bool) error {
	t := &s.attempts[id]
	switch {
	case t.state == simFree || t.state == simQueued || t.on.conn != ended.conn || t.on.born != ended.born:
		return nil
	case t.on.id <= ended.id:
		w.ends[simUnmet]++
		return nil
	}
	f := Failure{Kind: Reset, ResponseStarted: s.interim, Reused: w.random.IntN(2) == 0}
	end := simCut
	if goAway {
		f, end = Failure{Kind: RefusedStream, ResponseStarted: s.interim, PeerUnprocessed: true}, simUnprocessed
	} else if w.random.IntN(3) > 0 {
		s.acceptIf(id)
	}
	switch {
	case s.state == simForwarding:
		w.ends[simAnswerCut]++
		return w.finishWith(s, now, End{Truncated: true, GRPCStatus: -1})
	case t.state == simKept:
		end = simKeptCut
		w.loseKept(s)
	case s.state != simTrying:
		return nil
	case !t.until.IsZero():
		w.ends[simHeldCut]++
		return w.failAwaited(s, now, id, f)
	default:
		w.ends[end]++
		return w.fail(s, now, id, f)
	}
	w.ends[end]++
	return nil
}

// acceptIf has the kernel accept bytes of an attempt that is under way.
func (s *simCall) acceptIf(id AttemptID) {
	if s.live().Has(id) {
		s.accept(id)
	}
}

// placedAgain has a driver that waited for somebody else's connection tell once more where the attempt is placed, or find that it has to be
// refused.
func (w *world) placedAgain(s *simCall, now time.Time, id AttemptID) error {
	if t := &s.attempts[id]; !t.sent && t.written.IsZero() && !t.waits.IsZero() && w.random.IntN(4) == 0 {
		g := w.event(s, now, "local reject of a placed attempt", id)
		g.over = true
		*t = simAttempt{}
		return w.check(s, now, s.call.LocalReject(now, id, Overflow), g)
	}
	if a := s.call.Placed(now, id, endpoint); a != (Action{Do: Continue, Until: s.horizon()}) {
		return w.explain(errors.New("an attempt is placed twice"), s, now, a, given{name: "placed again"})
	}
	return nil
}
