package h2

import (
	"errors"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// takesAll has an output's kernel take everything at once.
func (o *output) takesAll() {
	o.try = func() { o.n, o.err = len(o.current.b)-o.at, nil }
}

// What is appended between the last write of a slow writer and its end is written: who has appended it saw somebody write.
func TestWhatComesAsASlowWriterEndsIsWritten(t *testing.T) {
	o := &New(Options{}).bareServer(t).out
	o.takesAll()
	o.writing = true // by the slow writer, which has found nothing more
	o.put(append(o.buffer(), "frame"...))
	o.flush()
	if o.backlog() == 0 {
		t.Fatal("two have written")
	}
	o.wroteSlowly(nil)
	if n := o.backlog(); n != 0 || o.writing {
		t.Errorf("%d bytes wait to be written, somebody writes: %v", n, o.writing)
	}
}

// The same where the connection has failed: nothing is written any more, and nobody writes.
func TestNothingIsWrittenOnceASlowWriterHasFailed(t *testing.T) {
	o := &New(Options{}).bareServer(t).out
	o.try = func() { t.Error("something is written") }
	o.writing = true
	o.put(append(o.buffer(), "frame"...))
	o.wroteSlowly(errors.New("broken"))
	if o.writing || o.failed == nil {
		t.Errorf("somebody writes: %v, failed: %v", o.writing, o.failed)
	}
}

// Who has found the output full goes on when it was written, even if the kernel took it at once; and nobody is woken for nothing.
func TestWhoFindsTheOutputFullIsResumed(t *testing.T) {
	for name, tc := range map[string]struct {
		waits   int // to be written
		resumed int
	}{"full": {backlogLimit, 1}, "not full": {backlogLimit - 1, 0}} {
		t.Run(name, func(t *testing.T) {
			o, resumed := &New(Options{}).bareServer(t).out, 0
			o.takesAll()
			o.resume = func() { resumed++ }
			o.put(append(o.buffer(), make([]byte, tc.waits)...))
			if o.full() != (tc.resumed > 0) {
				t.Fatal("the output is not as full as the test has it")
			}
			for range 2 { // once is enough
				o.flush()
			}
			if resumed != tc.resumed {
				t.Errorf("resumed %d times, want %d", resumed, tc.resumed)
			}
		})
	}
}

// begun is an attempt that has begun on a connection.
func begun(t *testing.T, u *serverConn) (a *attempt, ok bool) {
	t.Helper()
	x := newStream(u.driver.bare(t))
	x.id, x.ended, x.cur = 1, true, &x.attempts[0]
	x.head.Add(":method", "POST")
	var b batch
	return x.cur, x.cur.take(upstream.Lease{Conn: u.conn}, call.Action{}, time.Now(), &b)
}

// A request that waits in the output of a sound connection counts as sent, since it will be written sooner or later; where the connection has
// failed it is known whether the kernel took any of it (rule 7).
func TestRule07_WhatWaitsToBeWrittenIsSent(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		written bool
		failed  error
		sent    bool
	}{
		"waiting":             {false, nil, true},
		"written":             {true, nil, true},
		"waiting, and failed": {false, broken, false},
		"written, and failed": {true, broken, true},
	} {
		t.Run(name, func(t *testing.T) {
			u := New(Options{}).bareServer(t)
			u.out.takesAll()
			a, ok := begun(t, u)
			if !ok {
				t.Fatal("the connection takes no attempt")
			}
			if tc.written {
				u.out.flush()
			}
			u.out.failed = tc.failed
			if a.sent() != tc.sent {
				t.Errorf("sent: %v", a.sent())
			}
		})
	}
}

// A connection whose server takes nothing of what waits for it is given no more calls, and they have sent nothing.
func TestAConnectionThatTakesNothingGetsNoMoreCalls(t *testing.T) {
	for name, tc := range map[string]struct {
		waits int
		takes bool
	}{"much waits": {maxBacklog, false}, "less": {maxBacklog - 1, true}} {
		t.Run(name, func(t *testing.T) {
			u := New(Options{}).bareServer(t)
			u.out.appended = uint64(tc.waits)
			a, ok := begun(t, u)
			if ok != tc.takes || u.leaving == tc.takes || a.never == tc.takes {
				t.Errorf("taken: %v, leaving: %v, never: %v", ok, u.leaving, a.never)
			}
			if !ok && (a.sent() || len(u.attempts) > 0) {
				t.Errorf("sent: %v, streams: %d", a.sent(), len(u.attempts))
			}
		})
	}
}
