package proxy

import (
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// once is a policy under which connecting is attempted once, with a breaker.
func once(change func(*policy.Breaker)) func(*policy.Settings) {
	return func(s *policy.Settings) {
		guarded(change)(s)
		s.Retry.MaxRetries = 0
	}
}

// Each field decides what of connecting opens the breaker, which keeps connections from the server then.
//
//enforces:opaque circuitBreaker.consecutiveFailures circuitBreaker.failures.when
//enforces:opaque circuitBreaker.errorRate.percent circuitBreaker.errorRate.minimumRequests circuitBreaker.errorRate.window
//enforces:opaque circuitBreaker.slowCalls.threshold circuitBreaker.slowCalls.percent circuitBreaker.slowCalls.minimumRequests
//enforces:opaque circuitBreaker.slowCalls.window
func TestRule22_FieldsDecideWhatOfConnectingOpens(t *testing.T) {
	const short, pause = 20 * time.Millisecond, 50 * time.Millisecond
	slow := func(s policy.SlowCalls) func(*policy.Breaker) {
		return func(b *policy.Breaker) { s.Threshold = 25 * time.Millisecond; b.SlowCalls = &s }
	}
	rate := func(e policy.ErrorRate) func(*policy.Breaker) { return func(b *policy.Breaker) { b.ErrorRate = &e } }
	for name, tc := range map[string]struct {
		set   func(*policy.Breaker)
		how   string // each connection is made: g well, b badly, s slowly
		pause time.Duration
		opens bool
	}{
		"failures in a row": {set: func(b *policy.Breaker) { b.ConsecutiveFailures = 2 }, how: "bb", opens: true},
		"another failure": {
			set: func(b *policy.Breaker) { b.ConsecutiveFailures, b.FailureOn = 1, policy.Of(policy.Reset) }, how: "b",
		},
		"errors by their share":     {set: rate(policy.ErrorRate{Percent: 25, MinimumRequests: 4, Window: time.Hour}), how: "gggb", opens: true},
		"errors long past":          {set: rate(policy.ErrorRate{Percent: 100, MinimumRequests: 2, Window: short}), how: "bbb", pause: pause},
		"slow ones by their share":  {set: slow(policy.SlowCalls{Percent: 25, MinimumRequests: 4, Window: time.Hour}), how: "gggs", opens: true},
		"slow ones long past":       {set: slow(policy.SlowCalls{Percent: 100, MinimumRequests: 2, Window: short}), how: "sss", pause: pause},
		"slow ones, and a fast one": {set: slow(policy.SlowCalls{Percent: 100, MinimumRequests: 2, Window: time.Hour}), how: "gs"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), declaredTCP(once(tc.set)))
			for i, how := range tc.how {
				if i > 0 {
					(&client{}).pause(tc.pause)
				}
				w.dialer.slow.Store(0)
				switch how {
				case 'b':
					w.dialer.refuse.Store(1)
				case 's':
					w.dialer.slow.Store(int64(40 * time.Millisecond))
				}
				if _, n := w.reaches(); n != 1 {
					t.Fatalf("connection %d was rejected", i)
				}
			}
			(&client{}).pause(tc.pause)
			w.dialer.slow.Store(0)
			if _, n := w.reaches(); (n == 0) != tc.opens {
				t.Errorf("the next connection was rejected: %v, want %v", n == 0, tc.opens)
			}
		})
	}
}

// A breaker lets a connection through again when its time is over, and its time is bounded however often connecting fails.
//
//enforces:opaque circuitBreaker.open.duration circuitBreaker.open.maxDuration
func TestRule22_OpenTimesHoldForConnections(t *testing.T) {
	w := build(t, closedAddress(t), declaredTCP(once(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.OpenDuration, b.OpenMaxDuration = 1, time.Millisecond, 20*time.Millisecond
	})))
	// Doubled each time, the last open time would be 16 s.
	poll(t, func() bool { w.reaches(); return w.dialer.dials.Load() >= 15 })
}

// Half-open, a breaker lets as many connections through at once as are written, and closes after as many successes.
//
//enforces:opaque circuitBreaker.halfOpen.probes circuitBreaker.halfOpen.successesToClose
func TestRule22_HalfOpenHoldsForConnections(t *testing.T) {
	half := func(t *testing.T, probes, successes int) *testProxy {
		w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) {
			once(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.OpenDuration, b.Probes, b.SuccessesToClose = 1, time.Millisecond, probes, successes
			})(s)
			s.Timeouts.PerTry, s.Timeouts.Connect = time.Hour, time.Hour // for so long may a probe take
		}))
		w.dialer.refuse.Store(1)
		w.reaches()
		return w
	}
	hang := func(w *testProxy, connections int64) {
		w.dialer.slow.Store(int64(time.Hour))
		before := w.dialer.dials.Load()
		poll(w.t, func() bool { w.dialQuietly(); return w.dialer.dials.Load() == before+connections })
	}
	t.Run("probes", func(t *testing.T) {
		w := half(t, 2, 1)
		hang(w, 2)
		if _, n := w.reaches(); n != 0 {
			t.Error("a third connection was let through")
		}
	})
	t.Run("successes", func(t *testing.T) {
		w := half(t, 1, 2)
		poll(t, func() bool { reached, _ := w.reaches(); return reached }) // the first success
		hang(w, 1)
		if _, n := w.reaches(); n != 0 {
			t.Error("it has closed after one success")
		}
	})
}

// dialQuietly opens a connection that may be reset at any time, and says something on it.
func (w *testProxy) dialQuietly() {
	w.t.Helper()
	if c, err := net.Dial("tcp", w.captured.Addr().String()); err == nil {
		_, _ = io.WriteString(c, "hello")
		w.t.Cleanup(func() { c.Close() })
	}
}

// Pods that do not share a breaker do not open each other's.
//
//enforces:opaque circuitBreaker.sharing
func TestRule22_ABreakerOfConnectionsIsSharedAsWritten(t *testing.T) {
	for name, sharing := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			d := &failingDialer{err: syscall.ECONNREFUSED}
			n := buildNeighbours(t, d, declaredTCP(once(func(b *policy.Breaker) { b.ConsecutiveFailures, b.Sharing = 1, sharing })))
			n.dial("other").reached()
			c := n.dial(pod)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // fails when it is reset already
			_, err := c.r.ReadByte()
			if rejected := err != nil; rejected != (sharing == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", rejected)
			}
		})
	}
}

// A connection that a policy keeps from its server leaves no trace there, also when its server was to speak first.
func TestRule26_ARejectedConnectionIsReset(t *testing.T) {
	for name, kind := range kinds {
		if !kind.governed {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := build(t, closedAddress(t), kind.bindings(once(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 }))...)
			w.reachesBy(kind.opening)
			if reached, n := w.reachesBy(kind.opening); reached || n != 0 {
				t.Errorf("reached %v after %d attempts", reached, n)
			}
			if e := w.seen.lastCall(t); e.Outcome.Kind.Reason() != "circuit_open" || len(e.Attempts) != 0 {
				t.Errorf("outcome %+v, attempts %+v", e.Outcome, e.Attempts)
			}
		})
	}
}

// Connections go to the endpoints of a Service as written.
//
//enforces:opaque loadBalancing.policy
func TestConnectionsAreBalancedAsWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		policy policy.LoadBalancing
		want   [3]int
	}{
		"in turn":           {policy.RoundRobin, [3]int{20, 20, 20}},
		"the cluster leads": {policy.ClusterIP, [3]int{60, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var endpoints []netip.AddrPort
			for range tc.want {
				endpoints = append(endpoints, serve(t, copying))
			}
			w := build(t, endpoints[0]) // stands for the cluster IP
			w.tcpShop(func(s *policy.Settings) { s.LoadBalancing = tc.policy }, endpoints...)
			var got [3]int
			for i := range 60 {
				w.reaches()
				w.seen.await(t, i+1)
				peer := w.seen.lastCall(t).Attempts[0].Peer
				for i, at := range endpoints {
					if at == peer {
						got[i]++
					}
				}
			}
			if got != tc.want {
				t.Errorf("the endpoints got %v, want %v", got, tc.want)
			}
		})
	}
}
