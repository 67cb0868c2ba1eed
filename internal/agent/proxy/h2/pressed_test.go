package h2

import (
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// asked is a stream whose request has been sent to u, and may go on.
func (s *Session) asked(t *testing.T, u *serverConn, id uint32) *stream {
	t.Helper()
	x := s.take()
	x.id, x.phase, x.cur, x.closed, x.kept, x.answer = id, trying, &x.attempts[0], false, nil, nil
	x.plan, x.recorder = &s.driver.ungoverned, routes.Discard{}
	x.head.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "up.example"}, {":path", "/"}} {
		x.head.Add(f[0], f[1])
	}
	x.request.InitRequest(false)
	if _, err := x.request.Headers(&x.head, false); err != nil {
		t.Fatal(err)
	}
	x.send.Init(http2.DefaultWindow)
	x.recv.Init(streamWindow)
	a := x.call.Begin(s.now, &x.plan.Plan, call.Request{HasBody: true})
	var b batch
	if a.Do != call.StartAttempt || !x.cur.take(upstream.Lease{Conn: u.conn}, a, s.now, &b) {
		t.Fatalf("no attempt: %v", a.Do)
	}
	x.cur.Lease = upstream.Lease{} // of no pool
	s.streams[id], s.lastID = x, id
	return x
}

// respond has the head of the response come, which is forwarded, when the request has been sent.
func (x *stream) respond(t *testing.T, end bool, value string) {
	t.Helper()
	p := x.cur
	p.head.Reset()
	p.head.AddStatus(200)
	p.head.Add("x-large", value)
	if _, err := p.response.Headers(&p.head, end); err != nil {
		t.Fatal(err)
	}
	p.ended, p.whole, x.ended = end, true, true
	x.charge()
	a := x.call.ResponseHead(x.s.now, p.ID, call.Response{Status: 200, GRPCStatus: -1})
	if a.Do != call.Forward {
		t.Fatalf("the call says %v", a.Do)
	}
	var b batch
	x.forward(a, &b)
}

// Heads of responses are no more than other output is: a pod that has too much of it gets no more of them, even if all come at once.
func TestRule31_HeadsThatAClientDoesNotTakeAreBounded(t *testing.T) {
	const limit, size = 4 << 20, 200 << 10
	d := New(Options{Buffers: limit})
	s, u := d.bare(t), d.bareServer(t)
	large := strings.Repeat("~", size)
	for i := range uint32(100) {
		s.asked(t, u, 2*i+1).respond(t, true, large)
	}
	if n := s.out.backlog(); n < limit/maxShare || n > 2*limit/maxShare+size {
		t.Errorf("%d bytes wait to be written", n)
	}
	if len(s.streams) != 0 {
		t.Errorf("%d streams are open", len(s.streams))
	}
}

// Trailers are heads as well.
func TestRule31_TrailersThatAClientDoesNotTakeAreNotSentWithoutMemory(t *testing.T) {
	for name, exhausted := range map[string]bool{"with memory": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			d := New(Options{Buffers: 4 << 20})
			s, u := d.bare(t), d.bareServer(t)
			x := s.asked(t, u, 1)
			x.respond(t, false, "small")
			s.out.blocked = true
			if exhausted {
				s.account.add(3 << 20)
			}
			u.block.Add("x-large", "small")
			if err := s.headersFromServer(holder{x.cur, s, x.cur.stream}, u, &http2.Frame{Type: http2.Headers, EndStream: true}); err != nil {
				t.Fatal(err)
			}
			if x.phase != over || (x.Detail == routes.DetailMemory) != exhausted {
				t.Errorf("phase %v, %q", x.phase, x.Detail)
			}
		})
	}
}

func TestRule31_InterimResponsesThatAClientDoesNotTakeAreNotSentWithoutMemory(t *testing.T) {
	for name, exhausted := range map[string]bool{"with memory": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			d := New(Options{Buffers: 4 << 20})
			s, u := d.bare(t), d.bareServer(t)
			x := s.asked(t, u, 1)
			s.out.blocked = true
			if exhausted {
				s.account.add(3 << 20)
			}
			u.block.AddStatus(103)
			if err := s.headersFromServer(holder{x.cur, s, x.cur.stream}, u, &http2.Frame{Type: http2.Headers}); err != nil {
				t.Fatal(err)
			}
			if (x.phase == over) != exhausted || (x.Detail == routes.DetailMemory) != exhausted {
				t.Errorf("phase %v, %q", x.phase, x.Detail)
			}
		})
	}
}

// Who sends, or is sent, what the other side does not take is ended when its pod has too much memory, and not before.
func TestRule31_StreamsWhoseOutputIsNotTakenAreEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		blocked, exhausted, ended bool
	}{
		"taken":                        {},
		"taken, without memory":        {exhausted: true},
		"not taken":                    {blocked: true},
		"not taken and without memory": {blocked: true, exhausted: true, ended: true},
	} {
		payload := make([]byte, 1<<10)
		f := http2.Frame{Type: http2.Data, Stream: 1, Payload: payload, Flow: uint32(len(payload))}
		verdict := func(t *testing.T, x *stream) {
			t.Helper()
			if (x.phase == over) != tc.ended || tc.ended && x.Detail != routes.DetailMemory {
				t.Errorf("phase %v, %q", x.phase, x.Detail)
			}
		}
		d := New(Options{Buffers: 4 << 20})
		begin := func(t *testing.T, o func(*Session, *serverConn) *output) (*Session, *serverConn, *stream) {
			s, u := d.bare(t), d.bareServer(t)
			u.send.Init(http2.DefaultWindow)
			u.recv.Init(http2.DefaultWindow)
			x := s.asked(t, u, 1)
			o(s, u).blocked = tc.blocked
			if tc.exhausted {
				s.account.add(3 << 20)
				t.Cleanup(func() { s.account.add(-3 << 20) })
			}
			return s, u, x
		}
		t.Run("request "+name, func(t *testing.T) {
			s, _, x := begin(t, func(_ *Session, u *serverConn) *output { return &u.out })
			if err := s.data(&f); err != nil {
				t.Fatal(err)
			}
			verdict(t, x)
		})
		t.Run("response "+name, func(t *testing.T) {
			s, u, x := begin(t, func(s *Session, _ *serverConn) *output { return &s.out })
			x.answer, x.phase = x.cur, forwarding
			x.cur.head.AddStatus(200)
			if _, err := x.cur.response.Headers(&x.cur.head, false); err != nil {
				t.Fatal(err)
			}
			if err := s.dataFromServer(holder{x.cur, s, x.cur.stream}, u, &f); err != nil {
				t.Fatal(err)
			}
			verdict(t, x)
		})
	}
}

// A connection on which more waits than an equal part of what its pod may hold is ended when the pod has no more.
func TestRule31_WhatWaitsOnManyConnectionsIsBounded(t *testing.T) {
	const limit = 4 << 20 // of which a pod may hold 2 MiB
	d := New(Options{Buffers: limit})
	sessions := make([]*Session, 40)
	for i := range sessions {
		s := d.bare(t)
		s.out.blocked = true
		sessions[i] = s
	}
	a := sessions[0].account
	part := 2 * limit / maxShare / len(sessions)
	for n := 0; n < backlogLimit; n += 1 << 10 {
		for _, s := range sessions {
			s.out.put(append(s.out.buffer(), make([]byte, 1<<10)...))
			if s.out.tooMuch && (s.out.backlog() <= part || !s.client.Conn.Interrupted()) {
				t.Fatalf("ended with %d bytes, interrupted: %v", s.out.backlog(), s.client.Conn.Interrupted())
			}
			if !s.out.tooMuch && s.out.backlog() > part+1<<10 && a.exhausted() {
				t.Fatalf("goes on with %d bytes", s.out.backlog())
			}
		}
	}
	if !sessions[0].out.tooMuch {
		t.Error("none has ended")
	}
}

// The same where it was appended at once, before it was known that the peer takes nothing.
func TestRule31_WhatIsAppendedAtOnceIsBounded(t *testing.T) {
	var stalled []drive.Flood
	s := New(Options{Buffers: 4 << 20, Flooded: func(_ drive.Side, f drive.Flood) { stalled = append(stalled, f) }}).bare(t)
	s.out.put(append(s.out.buffer(), make([]byte, 24<<20)...)) // more than the kernel takes
	s.out.flush()
	if len(stalled) != 1 || stalled[0] != drive.FloodStalled {
		t.Errorf("counted: %v", stalled)
	}
	if !s.client.Conn.Interrupted() {
		t.Error("the connection has not ended")
	}
	s.out.slow.Wait()
	if n := s.account.used.Load(); n != 0 {
		t.Errorf("%d bytes are accounted for still", n)
	}
}

// Memory that a peer does not take is given back when its pod has no more, though nothing is added to it.
func TestRule31_APeerThatTakesNothingIsNotWaitedForWithoutMemory(t *testing.T) {
	d := New(Options{Buffers: 128 << 20})
	s := d.bare(t)
	s.out.patience = time.Millisecond
	s.out.put(append(s.out.buffer(), make([]byte, 24<<20)...)) // more than the kernel takes
	s.out.flush()
	s.mu.Lock()
	blocked, cut := s.out.blocked, s.out.tooMuch
	s.mu.Unlock()
	if !blocked || cut {
		t.Fatalf("blocked: %v, ended: %v", blocked, cut)
	}
	const others = 70 << 20
	s.account.add(others)
	s.out.slow.Wait()
	if !s.client.Conn.Interrupted() {
		t.Error("the connection has not ended")
	}
	if n := s.account.used.Load(); n != others {
		t.Errorf("%d bytes are accounted for still", n-others)
	}
}
