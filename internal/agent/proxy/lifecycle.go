package proxy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// podState is what there is of a pod that has connections, or of which connections are accepted.
type podState struct {
	connections int
	listeners   int
	share       *drive.PodShare
}

// Listening returns what whoever accepts connections of a pod calls before each: it waits for the pod's turn. done ends that.
func (s *Server) Listening(podUID string) (turn, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := s.pod(podUID)
	pod.listeners++
	return pod.share.Turns.Enter, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		pod.listeners--
		s.forget(podUID, pod)
	}
}

// pod returns the state of a pod, whose use is to be counted. It expects the lock.
func (s *Server) pod(uid string) *podState {
	pod := s.perPod[uid]
	if pod == nil {
		pod = &podState{share: drive.NewPodShare(drive.Shared{Replay: s.replay, Heads: s.heads, Turns: &s.turns, Watches: &s.watches}, s.events.Flooded)}
		s.perPod[uid] = pod
	}
	return pod
}

// forget ends the state of a pod that is not used any more. It expects the lock.
func (s *Server) forget(uid string, pod *podState) {
	if pod.connections+pod.listeners == 0 {
		delete(s.perPod, uid)
		pod.share.Leave()
	}
}

// enter registers a connection. shed says that it exceeds a limit and is to be passed through.
func (s *Server) enter(c *connection) (shed, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, false
	}
	pod := s.pod(c.client.Pod)
	shed = len(s.connections) >= s.limit || pod.connections >= s.podLimit
	s.connections[c] = struct{}{}
	pod.connections++
	c.client.Share = pod.share
	s.events.Opened()
	return shed, true
}

func (s *Server) leave(c *connection) {
	s.mu.Lock()
	delete(s.connections, c)
	pod := s.perPod[c.client.Pod]
	pod.connections--
	s.forget(c.client.Pod, pod)
	last := s.closed && len(s.connections) == 0
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
	return len(s.connections)
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

// Open counts what is open. It visits every connection, so it is for debug pages and logs.
func (s *Server) Open() Open {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o Open
	for c := range s.connections {
		switch c.client.Activity.State() {
		case drive.Idle, drive.Closing:
			o.Idle++
		case drive.Tunnelling:
			o.Tunnels++
		case drive.Passing:
			o.Passed++
		default:
			o.Busy++
		}
	}
	return o
}

const (
	// drainStep is how often a drain closes connections that have become idle.
	drainStep = 50 * time.Millisecond
	// drainQuiet is how long a connection must have been idle for a drain to close it early: a client in steady use learns of
	// the end from its next response instead, and loses nothing.
	drainQuiet = 2 * time.Second
)

// Drain has connections accept no further request after the one they serve, and closes idle ones, until ctx ends. Tunnels and what
// is passed through go on to their own end, since it is unknown when they may be cut. Connections that still arrive are served: a
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
		if len(s.connections) == 0 {
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
	for c := range s.connections {
		c.client.CloseIfIdle(before)
		if drain := c.client.OnDrain.Load(); drain != nil {
			(*drain)()
		}
	}
}

// abort ends all connections. All are interrupted before the first is closed: Close waits for the goroutine that has the connection
// pinned, which must not happen under the lock either.
func (s *Server) abort() {
	s.mu.Lock()
	connections := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	for _, c := range connections {
		c.client.Interrupt()
	}
	var closers sync.WaitGroup
	for _, c := range connections {
		closers.Go(func() { _ = c.client.Conn.Close() })
	}
	closers.Wait()
}
