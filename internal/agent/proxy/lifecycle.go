package proxy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// enter registers a session. shed says that it is one too many to be looked into.
func (s *Server) enter(ss *session) (shed, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, false
	}
	shed = len(s.sessions) >= s.limit || s.perPod[ss.pod] >= s.podLimit
	s.sessions[ss] = struct{}{}
	s.perPod[ss.pod]++
	s.events.Opened()
	return shed, true
}

func (s *Server) leave(ss *session) {
	s.mu.Lock()
	delete(s.sessions, ss)
	if s.perPod[ss.pod]--; s.perPod[ss.pod] == 0 {
		delete(s.perPod, ss.pod)
	}
	last := s.closed && len(s.sessions) == 0
	s.mu.Unlock()
	s.events.Closed()
	if last {
		close(s.done)
	}
}

// Connections returns how many captured connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Open counts captured connections by what they carry.
type Open struct {
	// Idle wait for a request, Busy carry one or have not shown yet what they are.
	Idle, Busy int
	// Tunnels have turned from HTTP into something else (websockets, CONNECT).
	Tunnels int
	// Passed are passed through without being understood.
	Passed int
}

// Open counts what is open. It looks at every connection, so it is for pages and logs.
func (s *Server) Open() Open {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o Open
	for ss := range s.sessions {
		switch ss.state.Load() {
		case idle, closing:
			o.Idle++
		case tunnelling:
			o.Tunnels++
		case passing:
			o.Passed++
		default:
			o.Busy++
		}
	}
	return o
}

const (
	// drainStep is how often a drain looks for connections that have become idle.
	drainStep = 50 * time.Millisecond
	// drainQuiet is how long a connection must have been idle for a drain to close it early: a client in steady use learns of
	// the end from its next response instead, and loses nothing.
	drainQuiet = 2 * time.Second
)

// Drain has connections accept no further request after the one they serve, and closes idle ones, until ctx ends. Tunnels and what
// is passed through go on to their own end: nobody can tell when they may be cut. Connections that still arrive are served: a
// listener that stops accepting hands over what the kernel has accepted already.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.closeIdle(now.Add(-drainQuiet))
		}
	}
}

// Shutdown drains and turns away new connections. When ctx ends whatever is left is closed. It returns ctx's error in that case.
func (s *Server) Shutdown(ctx context.Context) error {
	draining, stop := context.WithCancel(ctx)
	var drain sync.WaitGroup
	defer drain.Wait()
	defer stop()
	drain.Go(func() { s.Drain(draining) })
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if len(s.sessions) == 0 {
			close(s.done)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.abort()
		<-s.done
		return ctx.Err()
	}
}

func (s *Server) closeIdle(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.sessions {
		ss.closeIfIdle(before)
	}
}

// abort ends all sessions. Every one is told before the first is waited for: to close a connection is to wait for a session that
// holds it, which must not be done under the lock either.
func (s *Server) abort() {
	s.mu.Lock()
	sessions := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, ss := range sessions {
		ss.interrupt()
	}
	var closers sync.WaitGroup
	for _, ss := range sessions {
		closers.Go(func() { _ = ss.client.Close() })
	}
	closers.Wait()
}

// interrupt has the session end as soon as it notices. A client that is not between two requests must not take what it has got for
// everything.
func (s *session) interrupt() {
	if state := s.state.Load(); state != idle && state != closing {
		s.client.ResetOnClose()
	}
	s.client.Interrupt()
}
