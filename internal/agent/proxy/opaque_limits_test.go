package proxy

import (
	"io"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// A connection holds its place in the pool until it ends, and the next one waits for it.
//
//enforces:opaque connectionPool.maxConnections connectionPool.maxConnectionsPerEndpoint
func TestRule25_PassedConnectionsAreLimited(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"in all":       func(p *policy.Pool) { p.MaxConnections = 1 },
		"per endpoint": func(p *policy.Pool) { p.MaxConnectionsPerEndpoint = 1 },
	} {
		for passed, kind := range kinds {
			if !kind.governed {
				continue
			}
			t.Run(name+"/"+passed, func(t *testing.T) {
				w := buildWith(t, Options{sniffDelay: patience}, serve(t, copying),
					kind.bindings(func(s *policy.Settings) { s.Pool.PendingTimeout = time.Hour; set(&s.Pool) })...)
				first := w.dial()
				if !first.reachedBy(kind.opening) {
					t.Fatal("the first connection was reset")
				}
				second := w.dial()
				second.send(kind.opening)
				poll(t, func() bool { return w.waiting() == 1 })
				if n := w.dialer.dials.Load(); n != 1 {
					t.Fatalf("%d connections, want 1", n)
				}
				first.Close()
				if _, err := io.ReadFull(second.r, make([]byte, len(kind.opening))); err != nil {
					t.Errorf("the second connection: %v", err)
				}
				w.dial().send(kind.opening) // the first one has given one place back, and not two
				poll(t, func() bool { return w.waiting() == 1 })
				if n := w.dialer.dials.Load(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			})
		}
	}
}

// One connection more than may wait is reset at once.
//
//enforces:opaque connectionPool.maxPending
func TestRule25_TheQueueOfConnectionsIsBounded(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 1, time.Hour
	}))
	w.dial().reached()
	w.dial().send("hello")
	poll(t, func() bool { return w.waiting() == 1 })
	if reached, _ := w.reaches(); reached {
		t.Error("it was not reset")
	}
	if e := w.seen.lastCall(t); e.Outcome.Kind.Reason() != "pool_overflow" {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// A connection may wait longer than it would by default.
//
//enforces:opaque connectionPool.pendingTimeout
func TestRule25_AQueuedConnectionWaitsAsLongAsWritten(t *testing.T) {
	t.Parallel() // it waits
	w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) { s.Pool.MaxConnections, s.Pool.PendingTimeout = 1, time.Hour }))
	first := w.dial()
	first.reached()
	second := w.dial()
	second.send("hello")
	poll(t, func() bool { return w.waiting() == 1 })
	second.pause(policy.Defaults().Pool.PendingTimeout + 600*time.Millisecond)
	first.Close()
	if !second.reached() {
		t.Error("it was reset")
	}
}

// What bounds a call bounds connecting, and nothing behind it.
//
//enforces:opaque timeouts.overall timeouts.perTry
func TestRule01_ConnectingIsBoundedLikeACall(t *testing.T) {
	for name, tc := range map[string]struct {
		set    func(*policy.Timeouts)
		reason string
	}{
		"overall": {func(l *policy.Timeouts) { l.Overall = 2 * drive.FirstCheck }, "deadline"},
		"perTry":  {func(l *policy.Timeouts) { l.PerTry = 2 * drive.FirstCheck }, "per_try_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) { s.Timeouts.Connect = time.Hour; tc.set(&s.Timeouts) }))
			lasting := w.dial()
			lasting.reached()
			w.dialer.slow.Store(int64(time.Hour))
			if reached, _ := w.reaches(); reached {
				t.Error("it was not reset")
			}
			if e := w.seen.lastCall(t); e.Outcome.Kind.Reason() != tc.reason {
				t.Errorf("outcome %+v", e.Outcome)
			}
			if !lasting.reached() {
				t.Error("a connection that was made was reset")
			}
		})
	}
}

// A client that leaves while its connection is waited for or made gives up its place.
func TestRule25_AConnectionThatIsGivenUpLeavesItsPlace(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.PendingTimeout, s.Timeouts.Connect = 1, time.Hour, time.Hour
	}))
	w.dialer.slow.Store(int64(time.Hour))
	first := w.dial()
	first.send("hello")
	w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 })
	second := w.dial()
	second.send("hello")
	poll(t, func() bool { return w.waiting() == 1 })
	second.Close()
	poll(t, func() bool { return w.waiting() == 0 })
	w.dialer.slow.Store(0)
	first.Close()
	poll(t, func() bool { return w.server.Connections() == 0 })
	if reached, _ := w.reaches(); !reached {
		t.Error("the place is not free")
	}
}

// The place of a connection that is being made is given back after a panic, and nobody else is affected.
func TestAPanicInConnectingKeepsNoPlace(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 1, patience/2
	}))
	w.events.expectPanic.Store(true)
	w.dialer.panics.Store(true)
	w.reaches()
	w.dialer.panics.Store(false)
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	if reached, _ := w.reaches(); !reached || w.events.panics.Load() != 1 {
		t.Errorf("reached %v after %d panics", reached, w.events.panics.Load())
	}
}
