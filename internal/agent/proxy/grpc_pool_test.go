package proxy

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/policy"
)

// A gRPC call above the limit of connections waits for the call before.
//
//enforces:grpc connectionPool.maxConnections connectionPool.maxConnectionsPerEndpoint
func TestRule25_ConnectionsAreLimitedOverGRPC(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"in all":       func(p *policy.Pool) { p.MaxConnections = 1 },
		"per endpoint": func(p *policy.Pool) { p.MaxConnectionsPerEndpoint = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, h := holdingRPC(t, alone(set))
			c := w.clientRPC()
			calls := append(h.hold(w, c, 1), begin(t, c, ""))
			poll(t, func() bool { return w.waiting() == 1 || h.conns.Load() > 1 })
			h.release.now()
			for _, b := range calls {
				if code := b.wait(); code != codes.OK {
					t.Errorf("got %v", code)
				}
			}
			if n := h.conns.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

// As many gRPC calls share a connection as are written.
//
//enforces:grpc connectionPool.http2.maxConcurrentStreams
func TestRule25_GRPCCallsShareAConnectionAsWritten(t *testing.T) {
	w, h := holdingRPC(t, func(s *policy.Settings) { s.Pool.MaxStreams = 2 })
	h.hold(w, w.clientRPC(), 6)
	if n := h.conns.Load(); n != 3 {
		t.Errorf("%d connections for 6 calls at once", n)
	}
}

//enforces:grpc connectionPool.maxPending
func TestRule25_TheQueueOfGRPCCallsIsBounded(t *testing.T) {
	w, h := holdingRPC(t, alone(func(p *policy.Pool) { p.MaxConnections, p.MaxPending = 1, 1 }))
	c := w.clientRPC()
	h.hold(w, c, 1)
	begin(t, c, "")
	poll(t, func() bool { return w.waiting() == 1 })
	if code, reason := endRPC(t, c, ""); code != codes.Unavailable || reason != "pool_overflow" {
		t.Errorf("got %v, %q", code, reason)
	}
	if n := h.calls.Load(); n != 1 {
		t.Errorf("%d calls at the server", n)
	}
}

// A gRPC call may wait longer than it would by default.
//
//enforces:grpc connectionPool.pendingTimeout
func TestRule25_AQueuedGRPCCallWaitsAsLongAsWritten(t *testing.T) {
	t.Parallel() // it waits
	w, h := holdingRPC(t, alone(func(p *policy.Pool) { p.MaxConnections = 1 }))
	c := w.clientRPC()
	h.hold(w, c, 1)
	waiting := begin(t, c, "")
	waitFor(waitPath(policy.Defaults().Pool.PendingTimeout + 600*time.Millisecond))
	h.release.now()
	if code := waiting.wait(); code != codes.OK {
		t.Errorf("got %v, %q", code, reasonOf(waiting.trailer))
	}
}

//enforces:grpc connectionPool.maxIdlePerEndpoint connectionPool.idleTimeout
func TestRule25_IdleConnectionsAreClosedOverGRPC(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"too many": func(p *policy.Pool) { p.MaxIdlePerEndpoint = 1 },
		"too long": func(p *policy.Pool) { p.IdleTimeout = time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			w, h := holdingRPC(t, alone(set))
			c := w.clientRPC()
			calls := h.hold(w, c, 2)
			h.release.now()
			for _, b := range calls {
				b.wait()
			}
			w.expect(h.ended, "no connection is closed")
			if code, _ := endRPC(t, c, ""); code != codes.OK {
				t.Errorf("the next call got %v", code)
			}
		})
	}
}

// A connection that has served its time, or its calls, serves no more.
//
//enforces:grpc connectionPool.maxLifetime connectionPool.maxRequestsPerConnection
func TestRule25_ConnectionsWearOutOverGRPC(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"by time":  func(p *policy.Pool) { p.MaxLifetime = time.Millisecond },
		"by calls": func(p *policy.Pool) { p.MaxRequestsPerConnection = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, h := holdingRPC(t, func(s *policy.Settings) { set(&s.Pool) })
			c := w.clientRPC()
			for range 3 {
				if code, reason := endRPC(t, c, ""); code != codes.OK {
					t.Errorf("got %v, %q", code, reason)
				}
				waitFor(waitPath(5 * time.Millisecond))
			}
			if n := h.conns.Load(); n < 2 {
				t.Errorf("%d connections for 3 calls", n)
			}
		})
	}
}

//enforces:grpc connectionPool.tcpKeepAlive.idle connectionPool.tcpKeepAlive.interval connectionPool.tcpKeepAlive.probes
func TestRule25_ConnectionsAreKeptAliveAsWrittenOverGRPC(t *testing.T) {
	want := policy.KeepAlive{Idle: 17 * time.Second, Interval: 3 * time.Second, Probes: 7}
	w, _ := holdingRPC(t, func(s *policy.Settings) { s.Pool.KeepAlive = want })
	endRPC(t, w.clientRPC(), "")
	if got := keepAlive(t, w.dialer.last.Load()); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
