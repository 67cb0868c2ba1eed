package proxy

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// The states of a session, for Shutdown to tell who may be closed, and to count what is open.
const (
	busy int32 = iota
	idle
	closing
	tunnelling // a call has turned the connection into a tunnel
	passing    // passed through without being understood
)

// session is one captured connection. Between requests it holds no buffer and no exchange.
type session struct {
	// immutable
	srv      *Server
	id       uint64 // of the server's sessions, not 0
	pod      string // UID
	client   *transport.Conn
	original netip.AddrPort

	// atomic
	state     atomic.Int32
	idleSince atomic.Int64 // nanoseconds since the server's epoch
	ended     atomic.Bool  // our side of the client's connection was ended, see endSide

	half half // has its own lock

	// the goroutine's own
	line line
	out  sender

	table      *routes.PodRoutes
	version    uint64
	candidates []routes.Candidate
	// the lane used last, and what it was chosen by
	lane   *routes.Route
	pinned bool
	host   []byte // as sent, or nil if the lane does not depend on it
	// governed: a policy has governed a request of this connection
	governed bool

	x    *exchange // of the request under way
	next step
	// A client that ends its side together with a request wakes the session once only, for the request. served says that there
	// was one since the last wait began, looking that this wait ends soon to try another read.
	served, looking bool
	server          dependence
	// brokenOff: the upstream has ended the exchange that was the last while its request was on its way.
	brokenOff bool
	rest      []byte // what was read of a connection that is not understood
	// tunnel carries on, outside socket.Conn.Hold, what is no longer looked into.
	tunnel func()
}

// endLook is how soon after a request a session looks whether the client has ended its side with it.
const endLook = time.Second

// step is what a session does when it is woken.
type step uint8

const (
	// serveNext: wait for the next request.
	serveNext step = iota
	// serveSlowly: x holds a request, or a part of one, that needs more from the client.
	serveSlowly
	// passOn: pass the rest of the connection through.
	passOn
	// hangUpGently: end the connection, but let the client finish what it is sending, so that it reads its last response.
	hangUpGently
	// hangUp: end the connection.
	hangUp
)

// serve carries the connection to its end. While it is looked into nobody may take its descriptor away; what passes through
// after that is on its own.
func (s *session) serve(shed bool) {
	defer func() {
		if what := recover(); what != nil {
			s.failed(what)
			return
		}
		s.drop()
	}()
	s.line.attach(s.client)
	s.out.conn = s.client
	s.refresh()
	err := s.client.Pin(func() {
		switch {
		case shed:
			s.passThrough(PassedShed)
		case s.identify():
			s.serveHTTP()
		}
	})
	if s.tunnel != nil && err == nil {
		s.state.CompareAndSwap(busy, tunnelling)
		s.tunnel()
	}
}

// drop frees what a broken-off request holds.
func (s *session) drop() {
	if x := s.x; x != nil {
		s.x = nil
		x.abandon()
		s.srv.exchanges.Put(x)
	}
	s.line.reader.Close()
}

// failed deals with a panic, a mistake of ours. Nobody knows in what state it has left the exchange and the buffers, so they are
// not used again.
func (s *session) failed(what any) {
	stack := debug.Stack()
	if f, ok := what.(*fault); ok {
		what, stack = f.what, f.stack
	}
	s.srv.events.Panicked(s.pod, what, stack)
	s.client.ResetOnClose()
	if x := s.x; x != nil {
		s.x = nil
		x.salvage()
	}
}

// refresh looks up the policies of the pod, which may have changed since the last request.
func (s *session) refresh() {
	s.version = s.srv.store.Version()
	table := s.srv.store.PodRoutes(s.pod)
	if table == s.table && table != nil {
		return
	}
	s.table, s.lane, s.candidates = table, nil, nil
	if table != nil {
		s.candidates = table.Candidates(s.original)
	}
}

// serveHTTP serves requests until the connection ends or turns into something else. The usual request is served inside the wait
// for it (socket.Conn.Serve), so that the next wait needs no attempt at reading.
func (s *session) serveHTTP() {
	ready := s.onReadable
	s.next = serveNext
	if len(s.line.reader.Buffered()) > 0 {
		s.begin()
		s.next = serveSlowly
	}
	for {
		switch s.next {
		case serveNext:
			s.becomeIdle()
			now, until := time.Now(), time.Time{}
			if s.looking = s.served; s.looking {
				until = now.Add(endLook)
			}
			until = s.nextLook(now, until)
			s.served = false
			err := s.client.Serve(ready, now, until)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if s.serverEnded() {
					return
				}
				continue
			}
			if err != nil {
				return
			}
		case serveSlowly:
			s.next = s.serveOne()
		case passOn:
			s.end()
			s.passThrough(PassedUnmatched)
			return
		case hangUpGently:
			s.linger()
			return
		case hangUp:
			return
		}
	}
}

// onReadable serves the requests that have arrived completely and reports true when the session has something else to do than
// to wait for the next one.
func (s *session) onReadable(uintptr) bool {
	s.begin()
	x := s.x
	s.line.nowait = true
	err := s.line.reader.Await()
	s.line.nowait = false
	if errors.Is(err, transport.ErrNothing) {
		s.end()
		return false
	}
	if !s.becomeBusy() {
		s.next = hangUp
		return true
	}
	if err != nil {
		s.next = hangUp
		return true
	}
	for {
		done, err := s.line.reader.TryRequest(&x.request)
		if !done && err == nil && !s.line.reader.Begun() {
			return s.rested()
		}
		if !done || err != nil || !x.selfContained() {
			x.parsed, x.parseErr = done, err
			s.next = serveSlowly
			return true
		}
		if s.next = x.serve(); s.next != serveNext {
			return true
		}
		if len(s.line.reader.Buffered()) == 0 {
			return s.rested()
		}
		s.line.reader.Finish()
		x.reset()
	}
}

// rested ends what a session was woken for when it has nothing else to do than to wait. It is what onReadable returns then.
func (s *session) rested() bool {
	s.served = true
	s.line.reader.Finish()
	s.end()
	s.becomeIdle()
	return !s.looking || s.line.filled
}

// serveOne serves the request that x holds a part of, reading the rest of it from the client.
func (s *session) serveOne() step {
	x := s.x
	if !x.parsed && x.parseErr == nil {
		x.parsed, x.parseErr = s.line.reader.TryRequest(&x.request)
	}
	if !x.parsed && x.parseErr == nil {
		if !s.line.reader.Begun() { // but for an empty line behind the request before, as old clients send it
			s.line.reader.Finish()
			s.end()
			return serveNext
		}
		s.line.now = time.Now()
		s.line.until = s.line.now.Add(s.srv.headTimeout)
		x.parseErr = s.line.reader.ReadRequest(&x.request)
		x.parsed = x.parseErr == nil
	}
	if x.parseErr != nil {
		return s.refuse(x.parseErr)
	}
	next := x.serve()
	if next != serveNext {
		return next
	}
	s.line.reader.Finish()
	if len(s.line.reader.Buffered()) > 0 {
		x.reset()
		return serveSlowly
	}
	s.end()
	return serveNext
}

func (s *session) begin() {
	if s.x == nil {
		s.x = s.srv.exchanges.Get().(*exchange)
		s.x.s = s
	}
	s.x.reset()
}

func (s *session) end() {
	x := s.x
	s.x = nil
	x.s = nil
	s.srv.exchanges.Put(x)
}

// becomeIdle and becomeBusy keep Shutdown from closing a connection on which a request has arrived.
func (s *session) becomeIdle() {
	s.state.Store(idle)
}

func (s *session) becomeBusy() bool {
	return s.state.CompareAndSwap(idle, busy) || s.state.Load() == busy
}

// restedAt notes when the session had its last request. It goes by the clock that nobody sets.
func (s *session) restedAt(now time.Time) { s.idleSince.Store(int64(now.Sub(s.srv.epoch))) }

// closeIfIdle ends a session that has been waiting for a request for long enough.
func (s *session) closeIfIdle(before time.Time) {
	if s.idleSince.Load() < int64(before.Sub(s.srv.epoch)) && s.state.CompareAndSwap(idle, closing) {
		s.client.Interrupt()
	}
}

// route finds the lane of a request; ok is false when no policy governs it.
func (s *session) route(q *http1.Request) (lane *routes.Route, ok bool) {
	if s.srv.store.Version() != s.version {
		s.refresh()
	}
	if s.lane != nil && (s.host == nil || bytes.Equal(s.host, q.Host())) && !s.lane.Stale() {
		return s.lane, true
	}
	return s.resolve(q)
}

func (s *session) resolve(q *http1.Request) (*routes.Route, bool) {
	s.lane, s.server = nil, dependence{}
	var space [256]byte
	host := routes.AppendHost(space[:0], q.Host())
	byHost := false
	for i := range s.candidates {
		c := &s.candidates[i]
		byHost = byHost || c.NeedsHost()
		if !c.Governs(host) {
			continue
		}
		if c.Opaque() {
			return nil, false // declared not to be HTTP/1: left alone
		}
		lane, err := s.table.Route(c, host, s.original)
		if err != nil {
			return nil, false
		}
		s.lane, s.pinned, s.host, s.governed = lane, c.Pinned, nil, true
		if byHost {
			s.host = append(make([]byte, 0, len(q.Host())), q.Host()...)
		}
		return lane, true
	}
	return nil, false
}
