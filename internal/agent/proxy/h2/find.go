package h2

import (
	"context"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// search is a look-up of the addresses that attempts on one route need. The session's streams wait for it together, and none of the others does.
type search struct {
	route   *routes.Route
	waiting []*stream
	cancel  context.CancelFunc
}

// find has a stream wait for addresses that its attempt needs.
func (s *Session) find(x *stream, wait time.Duration) {
	x.phase, x.until = finding, x.action.Until
	f := s.searches[x.governing]
	if f == nil {
		f = &search{route: x.governing}
		if s.searches == nil {
			s.searches = map[*routes.Route]*search{}
		}
		s.searches[x.governing] = f
		var ctx context.Context
		ctx, f.cancel = context.WithTimeout(context.Background(), wait)
		s.beside.Add(1)
		go s.lookUp(ctx, f)
	}
	f.waiting = append(f.waiting, x)
}

// lookUp looks the addresses up, and goes on with those who wait for them. It is a goroutine of its own.
func (s *Session) lookUp(ctx context.Context, f *search) {
	defer s.beside.Done()
	defer s.recovered()
	defer f.cancel()
	f.route.FindAddresses(ctx)
	flushed(func(b *batch) { s.found(f, b) })
}

func (s *Session) found(f *search, b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.searches[f.route] != f {
		return // nobody waits any more
	}
	delete(s.searches, f.route)
	s.clock(time.Now())
	for _, x := range f.waiting {
		if x.phase == finding { // else what has become of one before has ended its call
			s.goOn(x, s.acquire, b)
		}
	}
}

// stopFinding has a stream wait no longer. The search ends with the last one.
func (s *Session) stopFinding(x *stream) {
	f := s.searches[x.governing]
	if f == nil { // it has panicked
		return
	}
	f.waiting = slices.DeleteFunc(f.waiting, func(other *stream) bool { return other == x })
	if len(f.waiting) == 0 {
		delete(s.searches, f.route)
		f.cancel()
	}
}

// findTimeout ends a call whose time is up before it is known where to go.
func (s *Session) findTimeout(x *stream, b *batch) {
	s.stopFinding(x)
	if x.lead != nil { // a hedge does without
		o := x.lead
		x.placedOrNot()
		s.act(o, o.call.Unplaced(s.now, x.action.Attempt), b)
		return
	}
	x.Detail = drive.DetailOfLimit(x.call.Limit(x.action.Attempt))
	s.act(x, x.call.Timer(s.now), b)
}

// goOn takes the next step of a stream that has waited, and acts on what the call decides unless it waits again.
func (s *Session) goOn(x *stream, step func(*stream, *batch) (call.Action, bool), b *batch) {
	next, waits := step(x, b)
	if waits {
		s.schedule(x)
		return
	}
	o := x.owner()
	x.placedOrNot()
	s.act(o, next, b)
}
