package h2

import (
	"io"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
)

// panicked reports whether f does.
func panicked(f func()) (does bool) {
	defer func() { does = recover() != nil }()
	f()
	return false
}

// A panic that is contained leaves no lock held: the connection that it ends could not end otherwise, nor could others that come to it.
func TestAPanicLeavesNoLockHeld(t *testing.T) {
	data := &http2.Frame{Type: http2.Data, Stream: 1, Flow: 1}
	refusal := &http2.Error{Code: http2.ProtocolError, Scope: http2.OnStream}
	for name, act := range map[string]func(u *serverConn){
		"refuse":     func(u *serverConn) { u.frame.Stream = 1; _ = u.refuse(refusal) },
		"data":       func(u *serverConn) { u.recv.Init(http2.DefaultWindow); u.account = nil; _ = u.data(data) },
		"returned":   func(u *serverConn) { u.account = nil; u.returned(1) },
		"settings":   func(u *serverConn) { _ = u.settings(&http2.Frame{Type: http2.SettingsFrame}) },
		"sayGoodbye": func(u *serverConn) { u.sayGoodbye(transport.ErrInterrupted) },
		"sendPing":   func(u *serverConn) { u.attempts[1] = holder{}; u.sendPing() },
		"windowUpdate": func(u *serverConn) {
			u.attempts[1] = holder{}
			_ = u.windowUpdate(&http2.Frame{Stream: 1, Increment: 1})
		},
		"flush":       func(u *serverConn) { u.out.charged = 1; u.out.flush() },
		"step":        func(u *serverConn) { u.out.charged, u.out.current = 1, &piece{}; u.out.step(0) },
		"wroteSlowly": func(u *serverConn) { u.out.charged = 1; u.out.wroteSlowly(nil) },
	} {
		t.Run("server's "+name, func(t *testing.T) {
			u := New(Options{}).bareServer(t)
			u.out.blocked, u.out.account = true, nil // so that putting panics
			if !panicked(func() { act(u) }) {
				t.Fatal("no panic")
			}
			if !u.mu.TryLock() {
				t.Fatal("the lock is held")
			}
			u.mu.Unlock()
		})
	}
	for name, act := range map[string]func(s *Session){
		"resume": func(s *Session) {
			s.send.Init(http2.DefaultWindow)
			s.blocked = []*stream{{s: s, phase: forwarding}} // without an answer
			s.resume()
		},
		"Drain": func(s *Session) { s.opened = true; s.Drain() }, // nobody says whether the agent drains
	} {
		t.Run("client's "+name, func(t *testing.T) {
			s := New(Options{}).bare(t)
			if !panicked(func() { act(s) }) {
				t.Fatal("no panic")
			}
			if !s.mu.TryLock() {
				t.Fatal("the lock is held")
			}
			s.mu.Unlock()
		})
	}
}

// All whose streams a connection carries hear of what becomes of it, even if one of them panics: the others would wait for ever.
func TestAPanicOfOneStreamKeepsNothingFromTheOthers(t *testing.T) {
	for name, what := range map[string]func(h holder, u *serverConn){
		"lost":        func(h holder, u *serverConn) { h.s.lost(h, u, io.ErrUnexpectedEOF, h.s.now) },
		"unprocessed": func(h holder, u *serverConn) { h.s.unprocessed(h, u) },
	} {
		t.Run(name, func(t *testing.T) {
			panics := 0
			d := New(Options{Panicked: func(string, any, []byte) { panics++ }})
			u, others := d.bareServer(t), []*stream{}
			for i := range 4 {
				s := d.bare(t)
				x := s.asked(t, u, 1)
				if i == 0 {
					x.cur.x = nil // as a mistake of ours would have it
					continue
				}
				others = append(others, x)
			}
			notify(u.stop(transport.ErrInterrupted), func(h holder) { what(h, u) })
			if panics != 1 {
				t.Errorf("%d panics", panics)
			}
			for _, x := range others {
				if x.phase == trying || x.s.client.Conn.Interrupted() {
					t.Errorf("phase %v, ended: %v", x.phase, x.s.client.Conn.Interrupted())
				}
			}
		})
	}
}

// What was touched before a panic is flushed, and so is what comes after an output whose flushing panics: other sessions' streams wait for it.
func TestAPanicLeavesNothingUnwritten(t *testing.T) {
	d := New(Options{Panicked: func(string, any, []byte) {}})
	first, second := d.bareServer(t), d.bareServer(t)
	first.out.try = func() { panic("writing") }
	if !panicked(func() {
		flushed(func(b *batch) {
			for _, u := range []*serverConn{first, second} {
				u.out.put(append(u.out.buffer(), "frame"...))
				b.add(&u.out)
			}
			panic("acting")
		})
	}) {
		t.Fatal("no panic")
	}
	if n := second.out.backlog(); n != 0 || second.out.queued {
		t.Errorf("%d bytes wait to be written, queued: %v", n, second.out.queued)
	}
	if !first.conn.Interrupted() || second.conn.Interrupted() {
		t.Errorf("ended: %v, %v", first.conn.Interrupted(), second.conn.Interrupted())
	}
}

// leavingLayer is a layer that notes that the end is announced.
type leavingLayer struct {
	transport.Layer
	left bool
}

func (l *leavingLayer) CloseWrite() error { l.left = true; return nil }
func (l *leavingLayer) Leave()            {}

// The end of what is written is announced on the connection, and on no other one that has got its descriptor when it is closed.
func TestTheEndIsNotAnnouncedOnAClosedConnection(t *testing.T) {
	for name, closed := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			s, l := New(Options{}).New(&drive.Client{Conn: transporttest.Connected(t), Share: &drive.PodShare{}}, nil), &leavingLayer{}
			s.client.Conn.Secure(l)
			if closed {
				_ = s.client.Conn.Close()
			}
			s.out.last = true
			s.out.flush()
			if l.left == closed {
				t.Errorf("announced: %v", l.left)
			}
		})
	}
}
