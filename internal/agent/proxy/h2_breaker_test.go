package proxy

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// rejectedH2 makes a call and reports whether an open breaker kept it from the upstream.
func rejectedH2(t testing.TB, c *http2test.Conn, path string) bool {
	t.Helper()
	return getH2(t, c, path).Get("fairlead-reason") == "circuit_open"
}

//enforces:http2 circuitBreaker.failures.when circuitBreaker.failures.statusCodes
//enforces:http2 circuitBreaker.errorRate.percent circuitBreaker.errorRate.minimumRequests circuitBreaker.errorRate.window
//enforces:http2 circuitBreaker.slowCalls.threshold circuitBreaker.slowCalls.percent circuitBreaker.slowCalls.minimumRequests
//enforces:http2 circuitBreaker.slowCalls.window
func TestRule22_EveryFieldDecidesOnOpeningOverHTTP2(t *testing.T) {
	for name, tc := range breakerCases() {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := answering(t, &n, toAnyH2(guarded(tc.set)), statusFor)
			c, pause := w.dialH2(http2test.Options{}), w.dial()
			for i, path := range tc.calls {
				if i > 0 {
					pause.pause(tc.pause)
				}
				if rejectedH2(t, c, path) {
					t.Fatalf("call %d was rejected", i)
				}
			}
			pause.pause(tc.pause)
			if got := rejectedH2(t, c, "/"); got != tc.opens {
				t.Errorf("the next call was rejected: %v, want %v", got, tc.opens)
			}
		})
	}
}

//enforces:http2 circuitBreaker.open.duration circuitBreaker.open.maxDuration
func TestRule22_OpenTimesAreAsWrittenOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(guarded(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.OpenDuration, b.OpenMaxDuration = 1, time.Millisecond, 20*time.Millisecond
	})), statusFor)
	c := w.dialH2(http2test.Options{})
	// Doubled each time, the last open time would be 16 s.
	poll(t, func() bool { rejectedH2(t, c, "/500"); return n.Load() >= 15 })
}

//enforces:http2 circuitBreaker.open.jitterPercent
func TestRule22_OpenTimesAreDrawnAsWrittenOverHTTP2(t *testing.T) {
	t.Parallel() // it waits
	const breakers = 100
	var n atomic.Int64
	b := manyBreakers(breakers)
	b.To.Protocol = policy.ProtocolAuto
	w := answering(t, &n, b, func(string) int { return 418 })
	c := w.dialH2(http2test.Options{})
	callAll := func() {
		var streams []*http2test.Stream
		for i := range breakers {
			streams = append(streams, must(c.Request(true, http2test.Head(fmt.Sprintf("M%d", i), "a", "/")))(t))
		}
		for _, s := range streams {
			statusOf(t, s)
		}
	}
	callAll()
	if n.Load() < breakers {
		t.Fatalf("%d of %d breakers had a call", n.Load(), breakers)
	}
	poll(t, func() bool { callAll(); return n.Load() > breakers })
}

//enforces:http2 circuitBreaker.halfOpen.probes circuitBreaker.halfOpen.successesToClose
func TestRule22_HalfOpenIsAsWrittenOverHTTP2(t *testing.T) {
	half := func(t *testing.T, probes, successes int) (*http2test.Conn, chan struct{}) {
		arrived, release := make(chan struct{}, 100), newBarrier()
		w, _ := scripted(t, toAnyH2(func(s *policy.Settings) {
			guarded(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.OpenDuration, b.Probes, b.SuccessesToClose = 1, time.Millisecond, probes, successes
			})(s)
			s.Timeouts.PerTry = time.Hour // for so long may a probe take
		}), func(n int, s *http2test.Stream) {
			head, _ := s.Head()
			switch {
			case n == 0: // the failure that opens it
				_ = s.Respond(500, nil, nil)
				return
			case head.Get(":path") == "/held":
				arrived <- struct{}{}
				<-release.C
			}
			_ = s.Respond(200, nil, nil)
		})
		t.Cleanup(release.now)
		c := w.dialH2(http2test.Options{})
		getH2(t, c, "/")
		return c, arrived
	}
	t.Run("probes", func(t *testing.T) {
		c, arrived := half(t, 2, 1)
		poll(t, func() bool {
			must(c.Get("a", "/held", nil))(t)
			return len(arrived) == 2
		})
		if !rejectedH2(t, c, "/") {
			t.Error("a third call was let through")
		}
	})
	t.Run("successes", func(t *testing.T) {
		c, arrived := half(t, 1, 2)
		poll(t, func() bool { return !rejectedH2(t, c, "/") }) // the first success
		must(c.Get("a", "/held", nil))(t)
		<-arrived
		if !rejectedH2(t, c, "/") {
			t.Error("it has closed after one success")
		}
	})
}

//enforces:http2 circuitBreaker.sharing
func TestRule22_ABreakerIsSharedAsWrittenOverHTTP2(t *testing.T) {
	for name, sharing := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toAnyH2(guarded(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.Sharing = 1, sharing
			})))
			n.up = serveH2(t, echoH2)
			if head := getH2(t, n.dialH2("other"), "/"); head.Get("fairlead-reason") == "" {
				t.Fatalf("the first pod got %v", head)
			}
			got := rejectedH2(t, n.dialH2(pod), "/")
			if got != (sharing == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}
