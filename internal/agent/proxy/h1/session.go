package h1

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// Session serves the HTTP/1 requests of one captured connection. Between requests it holds no buffer and no exchange. The zero value
// needs Init.
type Session struct {
	// immutable
	driver *Driver
	client *drive.Client

	routes *route.Selector
	in     connReader

	x    *exchange // of the request under way
	next step
	// A client that ends its side together with a request wakes the session once only, for the request. served says that there
	// was one since the last wait began, looking that this wait ends soon in another read.
	served, looking bool
	// upstreamEnded: the upstream has ended the exchange that was the last while its request was on its way.
	upstreamEnded bool
	server        pinnedServer
	prefix        []byte // what was read and is not served here
	searched      int64  // what is reserved for it
	// tunnel carries on, outside transport.Conn.Pin, what is HTTP no longer.
	tunnel func()
}

// Init prepares a session for a client's connection.
func (s *Session) Init(d *Driver, client *drive.Client, routes *route.Selector) {
	s.driver, s.client, s.routes = d, client, routes
	s.in.attach(client.Conn)
	s.in.reader.Account(&client.Share.Requests)
}

// Restart forgets what was read, which was for a layer below, and reads from what is on top of the connection by now.
func (s *Session) Restart() {
	s.in.reader.Close()
	s.in.filled = false
	s.in.attach(s.client.Conn)
}

// endLook is how soon after a request a session checks whether the client has ended its side with it.
const endLook = time.Second

// step is what a session does when it is woken.
type step uint8

const (
	// nextRequest: wait for the next request.
	nextRequest step = iota
	// readMore: x holds a request, or a part of one, that needs more from the client.
	readMore
	// passThrough: pass the rest of the connection through.
	passThrough
	// closeInStages: end the connection, but let the client finish what it is sending, so that it reads its last response.
	closeInStages
	// closeNow: end the connection.
	closeNow
)

// Close frees what the session holds, a broken-off request included.
func (s *Session) Close() {
	if x := s.x; x != nil {
		s.x = nil
		x.abandon()
		s.driver.exchanges.Put(x)
	}
	s.in.reader.Close()
	s.forgetSearched()
}

// ReleaseAfterPanic gives back what others wait for. The exchange and the buffers may be in any state, so they are not used
// again.
func (s *Session) ReleaseAfterPanic() {
	if x := s.x; x != nil {
		s.x = nil
		x.releaseAfterPanic()
	}
	s.in.reader.Forfeit()
	s.forgetSearched()
}

// Serve serves requests until the connection ends or turns into something else: pass says that it is to be passed on as it is from
// what Prefix returns. The usual request is served inside the wait for it (transport.Conn.Serve), so that the next wait needs no attempt at
// reading. That keeps the descriptor as transport.Conn.Pin does, which is left out there: an idle connection has a stack of its own, and
// it is small only if few functions are on it.
func (s *Session) Serve() (pass bool) {
	ready, act := s.onReadable, s.act
	s.next = nextRequest
	if len(s.in.reader.Buffered()) > 0 {
		s.begin()
		s.next = readMore
	}
	for {
		switch s.next {
		case nextRequest:
			s.client.Activity.Set(drive.Idle)
			now, until := time.Now(), time.Time{}
			if s.looking = s.served; s.looking {
				until = now.Add(endLook)
			}
			until = s.nextServerLook(now, until)
			s.served = false
			err := s.client.Conn.Serve(ready, now, until)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if s.serverEnded() {
					return false
				}
				continue
			}
			if err != nil {
				return false
			}
		case readMore, closeInStages:
			if s.client.Conn.Pin(act) != nil {
				return false
			}
		case passThrough:
			s.end()
			return true
		case closeNow:
			return false
		}
	}
}

// act does what is next inside transport.Conn.Pin.
func (s *Session) act() {
	if s.next == closeInStages {
		s.linger()
		s.next = closeNow
		return
	}
	s.next = s.serveOne()
}

// onReadable serves the requests that have arrived completely and reports true when the session has something else to do than
// wait for the next one.
func (s *Session) onReadable(uintptr) bool {
	s.client.Share.Turns.Enter()
	s.begin()
	x := s.x
	s.in.noWait = true
	err := s.in.reader.Await()
	s.in.noWait = false
	if errors.Is(err, transport.ErrWouldBlock) {
		s.end()
		return false
	}
	if !s.client.Activity.BecomeBusy() {
		s.next = closeNow
		return true
	}
	if err != nil {
		s.next = closeNow
		return true
	}
	for {
		done, err := s.in.reader.TryRequest(&x.request)
		if !done && err == nil && !s.in.reader.Begun() {
			return s.rested()
		}
		if !done || err != nil || !x.selfContained() {
			x.parsed, x.parseErr = done, err
			s.next = readMore
			return true
		}
		if s.next = x.serve(); s.next != nextRequest {
			return true
		}
		if len(s.in.reader.Buffered()) == 0 {
			return s.rested()
		}
		s.in.reader.Finish()
		s.client.Share.Turns.Enter()
		x.reset()
	}
}

// rested ends what a session was woken for when it has nothing else to do than to wait. It is what onReadable returns then.
func (s *Session) rested() bool {
	s.served = true
	s.in.reader.Finish()
	s.end()
	s.client.Activity.Set(drive.Idle)
	return !s.looking || s.in.filled
}

// serveOne serves the request that x holds a part of, reading the rest of it from the client.
func (s *Session) serveOne() step {
	x := s.x
	if !x.parsed && x.parseErr == nil {
		x.parsed, x.parseErr = s.in.reader.TryRequest(&x.request)
	}
	if !x.parsed && x.parseErr == nil {
		if !s.in.reader.Begun() { // but for an empty line behind the request before, as old clients send it
			s.in.reader.Finish()
			s.end()
			return nextRequest
		}
		now := time.Now()
		s.in.bound(now, now.Add(s.driver.headTimeout))
		x.parseErr = s.in.reader.ReadRequest(&x.request)
		x.parsed = x.parseErr == nil
	}
	if x.parseErr != nil {
		return s.refuse(x.parseErr)
	}
	next := x.serve()
	if next != nextRequest {
		return next
	}
	s.in.reader.Finish()
	if len(s.in.reader.Buffered()) > 0 {
		s.client.Share.Turns.Enter()
		x.reset()
		return readMore
	}
	s.end()
	return nextRequest
}

func (s *Session) begin() {
	if s.x == nil {
		s.x = s.driver.exchanges.Get().(*exchange)
		s.x.serveFor(s)
	}
	s.x.reset()
}

func (s *Session) end() {
	x := s.x
	s.x = nil
	x.free()
	s.driver.exchanges.Put(x)
}

// route finds the route of a request; ok is false when no policy governs it.
func (s *Session) route(q *http1.Request) (r *routes.Route, ok bool) {
	before := s.routes.Selected()
	if r, ok = s.routes.Select(q); r != before || !s.routes.Pinned() {
		s.server = pinnedServer{}
	}
	return r, ok
}
