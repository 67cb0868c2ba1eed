package h2

import (
	"container/heap"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// alarms are the streams that have a deadline, the earliest first.
type alarms []*stream

// Len implements heap.Interface.
func (a alarms) Len() int { return len(a) }

// Less implements heap.Interface.
func (a alarms) Less(i, j int) bool { return a[i].due.Before(a[j].due) }

// Swap implements heap.Interface.
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i+1, j+1
}

// Push implements heap.Interface.
func (a *alarms) Push(v any) {
	x := v.(*stream)
	*a = append(*a, x)
	x.place = len(*a)
}

// Pop implements heap.Interface.
func (a *alarms) Pop() any {
	n := len(*a) - 1
	x := (*a)[n]
	(*a)[n] = nil
	*a = (*a)[:n]
	x.place = 0
	return x
}

// schedule has the session look at a stream when its next deadline passes.
func (s *Session) schedule(x *stream) {
	due := x.deadline()
	switch {
	case due.IsZero() && x.place == 0:
		return
	case due.IsZero():
		heap.Remove(&s.alarms, x.place-1)
		return
	case x.place == 0:
		x.due = due
		heap.Push(&s.alarms, x)
	case x.due != due:
		x.due = due
		heap.Fix(&s.alarms, x.place-1)
	}
	s.arm()
}

// unschedule forgets a stream's deadline.
func (s *Session) unschedule(x *stream) {
	if x.place > 0 {
		heap.Remove(&s.alarms, x.place-1)
	}
}

// arm has tick called at the first deadline of a stream or of the connection, or somewhat earlier.
func (s *Session) arm() {
	first := s.closeBy
	if len(s.alarms) > 0 {
		first = drive.Earlier(first, s.alarms[0].due)
	}
	if first.IsZero() || s.over {
		return
	}
	if !s.armed.IsZero() && !first.Before(s.armed) {
		return
	}
	s.armed = first
	s.timer.Reset(max(first.Sub(s.now), 0))
	if s.kicked.Load() { // in between, by wake
		s.timer.Reset(0)
	}
}

// wake is called by the pool, or a gate, with a lock held, when it has something for a stream.
func (s *Session) wake(x *stream) {
	s.noteWoken(x)
	s.kicked.Store(true)
	s.timer.Reset(0)
}

func (s *Session) noteWoken(x *stream) {
	s.wakes.Lock()
	defer s.wakes.Unlock()
	s.woken = append(s.woken, x)
}

// takeWoken returns those that were woken, who are so no more.
func (s *Session) takeWoken() []*stream {
	s.wakes.Lock()
	defer s.wakes.Unlock()
	woken := s.woken
	s.woken = nil
	return woken
}

// unwake forgets that a stream was woken.
func (s *Session) unwake(x *stream) {
	s.wakes.Lock()
	defer s.wakes.Unlock()
	for i, other := range s.woken {
		if other == x {
			s.woken[i] = nil
		}
	}
}

// tick acts on what was woken, and on deadlines that have passed. It is a goroutine of its own.
func (s *Session) tick() {
	defer s.recovered()
	var b batch
	defer b.flush()
	s.onTick(&b)
}

func (s *Session) onTick(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.now = time.Now()
	s.armed = time.Time{}
	s.kicked.Store(false)
	for _, x := range s.takeWoken() {
		if x != nil {
			s.granted(x, b)
		}
	}
	for len(s.alarms) > 0 && !s.alarms[0].due.After(s.now) {
		x := s.alarms[0]
		heap.Remove(&s.alarms, 0)
		s.overdue(x, b)
		if x.phase != over && x.place == 0 {
			s.schedule(x)
		}
	}
	s.periodic()
	s.arm()
}

// granted goes on with a stream that was woken.
func (s *Session) granted(x *stream, b *batch) {
	switch x.phase {
	case parked, joined:
		s.goOn(x, s.redeem, b)
	case waiting:
		s.act(x, x.call.Woken(s.now), b)
	case over, finding, dialling, trying, forwarding:
	}
}

func (s *Session) redeem(x *stream, b *batch) (next call.Action, waits bool) {
	answer, l := x.pool.Redeem(s.now, &x.slot)
	return s.placed(x, answer, l, b)
}

// deadline is when a stream has to be looked at; zero: never.
func (x *stream) deadline() time.Time {
	t := &x.plan.Settings.Timeouts
	switch x.phase {
	case waiting, finding, joined:
		return x.until
	case parked:
		return drive.Earlier(drive.Earlier(x.until, x.pending), x.keptBy)
	case trying:
		end := x.until
		if !x.cur.busy { // a hedge is being connected
			return end
		}
		if t.Idle > 0 {
			end = drive.Earlier(end, x.moved.Add(t.Idle))
		}
		if t.Write > 0 && x.stuck() {
			end = drive.Earlier(end, x.sentAt.Add(t.Write))
		}
		return end
	case forwarding:
		end := x.until
		if t.Idle > 0 {
			end = drive.Earlier(end, x.moved.Add(t.Idle))
		}
		if t.Read > 0 && t.Read != t.Idle && !x.answer.ended && !x.isTunnel() {
			end = drive.Earlier(end, x.answered.Add(t.Read))
		}
		return end
	case over, dialling:
	}
	return time.Time{}
}

// stuck reports whether the server takes nothing of the request.
func (x *stream) stuck() bool {
	t := x.cur
	return t.u != nil && !t.whole && (x.body.size > 0 || t.replayed < x.replay.Kept())
}
