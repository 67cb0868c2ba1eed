package proxy

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// guarded has a breaker with nothing but what change sets.
func guarded(change func(*policy.Breaker)) func(*policy.Settings) {
	return func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		change(&b)
		s.Breaker = &b
	}
}

// status answers a request for a path of breakerCases.
func status(q *http.Request) string { return answer(statusFor(q.URL.Path), "") }

// statusFor is the status that a path asks for, once it is time.
func statusFor(path string) int {
	if path == "/late" {
		pause := time.NewTimer(slowCall)
		<-pause.C
	}
	code := 200
	_, _ = fmt.Sscanf(path, "/%d", &code)
	return code
}

// rejected makes a call on a connection of its own, and reports whether an open breaker kept it from the upstream.
func (w *testProxy) rejected(path string) bool {
	w.t.Helper()
	c := w.dial()
	defer c.Close()
	res, _ := c.get(path)
	return res.Header.Get("fairlead-reason") == "circuit_open"
}

// breakerCase is a breaker, and whether calls to some paths open it.
type breakerCase struct {
	set   func(*policy.Breaker)
	calls []string      // /500 is answered with 500, and so on, and /late after slowCall
	pause time.Duration // between calls
	opens bool
}

// slowCall is how long a call takes to what is late.
const slowCall = 5 * time.Millisecond

// breakerCases are about every field of a breaker that decides what opens it, whatever the protocol.
func breakerCases() map[string]breakerCase {
	const short, pause = 20 * time.Millisecond, 50 * time.Millisecond
	slow := func(s policy.SlowCalls) func(*policy.Breaker) {
		return func(b *policy.Breaker) { s.Threshold = time.Millisecond; b.SlowCalls = &s }
	}
	rate := func(e policy.ErrorRate) func(*policy.Breaker) { return func(b *policy.Breaker) { b.ErrorRate = &e } }
	good, bad, late := "/", "/500", "/late"
	return map[string]breakerCase{
		"failures in a row": {set: func(b *policy.Breaker) { b.ConsecutiveFailures = 2 }, calls: []string{bad, bad}, opens: true},
		"a status by its class": {
			set:   func(b *policy.Breaker) { b.ConsecutiveFailures, b.FailureOn = 1, policy.Of(policy.RateLimited) },
			calls: []string{"/429"}, opens: true,
		},
		"a status by its number": {
			set: func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.FailureStatus = 1, []policy.StatusRange{{From: 418, To: 418}}
			},
			calls: []string{"/418"}, opens: true,
		},
		"errors by their share": {
			set: rate(policy.ErrorRate{Percent: 25, MinimumRequests: 4, Window: time.Hour}), calls: []string{good, good, good, bad}, opens: true,
		},
		"errors long past": {
			set:   rate(policy.ErrorRate{Percent: 100, MinimumRequests: 2, Window: short}),
			calls: []string{bad, bad, bad}, pause: pause,
		},
		"slow calls by their share": {
			set: slow(policy.SlowCalls{Percent: 25, MinimumRequests: 4, Window: time.Hour}), calls: []string{good, good, good, late}, opens: true,
		},
		"slow calls long past": {
			set:   slow(policy.SlowCalls{Percent: 100, MinimumRequests: 2, Window: short}),
			calls: []string{late, late, late}, pause: pause,
		},
	}
}

// Each field decides what opens the breaker.
//
//enforces:http1 circuitBreaker.consecutiveFailures circuitBreaker.failures.when circuitBreaker.failures.statusCodes
//enforces:http1 circuitBreaker.errorRate.percent circuitBreaker.errorRate.minimumRequests circuitBreaker.errorRate.window
//enforces:http1 circuitBreaker.slowCalls.threshold circuitBreaker.slowCalls.percent circuitBreaker.slowCalls.minimumRequests
//enforces:http1 circuitBreaker.slowCalls.window
func TestRule22_EveryFieldDecidesOnOpening(t *testing.T) {
	for name, tc := range breakerCases() {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, status), toAny(guarded(tc.set)))
			c := w.dial()
			for i, path := range tc.calls {
				if i > 0 {
					c.pause(tc.pause)
				}
				if res, _ := c.get(path); res.Header.Get("fairlead-reason") != "" {
					t.Fatalf("call %d was rejected", i)
				}
			}
			c.pause(tc.pause)
			if got := w.rejected("/"); got != tc.opens {
				t.Errorf("the next call was rejected: %v, want %v", got, tc.opens)
			}
		})
	}
}

// A breaker lets a call through again when its time is over, and its time is bounded however often that call fails.
//
//enforces:http1 circuitBreaker.open.duration circuitBreaker.open.maxDuration
func TestRule22_OpenTimesAreAsWritten(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, status), toAny(guarded(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.OpenDuration, b.OpenMaxDuration = 1, time.Millisecond, 20*time.Millisecond
	})))
	// Doubled each time, the last open time would be 16 s.
	poll(t, func() bool { w.rejected("/500"); return n.Load() >= 15 })
}

// manyBreakers is a binding with n breakers, one for each of the methods M0, M1 and so on, which 418 opens for 40 s at most.
func manyBreakers(n int) policy.Binding {
	b := toAny(nil)
	for i := range n {
		s := b.Base
		guarded(func(br *policy.Breaker) {
			br.ConsecutiveFailures, br.OpenDuration, br.OpenJitterPercent = 1, 20*time.Second, 100
			br.FailureStatus = []policy.StatusRange{{From: 418, To: 418}}
		})(&s)
		b.Rules = append(b.Rules, policy.Rule{
			Name: fmt.Sprint(i), Settings: s, OwnBreaker: true, Match: []policy.RequestMatch{{Methods: []string{fmt.Sprintf("M%d", i)}}},
		})
	}
	return b
}

// With an open time that is drawn from nothing to twice its length, some of many breakers let a call through long before it is over.
//
//enforces:http1 circuitBreaker.open.jitterPercent
func TestRule22_OpenTimesAreDrawnAsWritten(t *testing.T) {
	t.Parallel() // it waits
	const breakers = 100
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(418, ""))), manyBreakers(breakers))
	callAll := func() {
		for i := range breakers {
			c := w.dial()
			c.send(fmt.Sprintf("M%d / HTTP/1.1\r\nHost: a\r\n\r\n", i))
			c.response("GET")
			c.Close()
		}
	}
	callAll()
	if n.Load() < breakers {
		t.Fatalf("%d of %d breakers had a call", n.Load(), breakers)
	}
	poll(t, func() bool { callAll(); return n.Load() > breakers })
}

// Half-open, a breaker lets as many calls through at once as are written, and closes after as many successes.
//
//enforces:http1 circuitBreaker.halfOpen.probes circuitBreaker.halfOpen.successesToClose
func TestRule22_HalfOpenIsAsWritten(t *testing.T) {
	half := func(t *testing.T, probes, successes int) (*testProxy, *gate) {
		g := newGate()
		w := build(t, serve(t, func(n int, p *peer) {
			if n == 0 { // the failure that opens it
				p.request()
				p.send(answer(500, ""))
				return
			}
			g.serve(n, p)
		}), toAny(func(s *policy.Settings) {
			guarded(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.OpenDuration, b.Probes, b.SuccessesToClose = 1, time.Millisecond, probes, successes
			})(s)
			s.Timeouts.PerTry = time.Hour // for so long may a probe take
		}))
		w.dial().get("/")
		return w, g
	}
	t.Run("probes", func(t *testing.T) {
		w, g := half(t, 2, 1)
		defer g.open()
		poll(t, func() bool {
			get := w.dial()
			get.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
			return len(g.arrived) == 2
		})
		if !w.rejected("/") {
			t.Error("a third call was let through")
		}
	})
	t.Run("successes", func(t *testing.T) {
		w, g := half(t, 1, 2)
		defer g.open()
		poll(t, func() bool { return !w.rejected("/") }) // the first success
		w.hold(g)
		if !w.rejected("/") {
			t.Error("it has closed after one success")
		}
	})
}

// Pods that do not share a breaker do not open each other's.
//
//enforces:http1 circuitBreaker.sharing
func TestRule22_ABreakerIsSharedAsWritten(t *testing.T) {
	for name, sharing := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toAny(guarded(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.Sharing = 1, sharing
			})))
			n.dial("other").get("/")
			res, _ := n.dial(pod).get("/")
			if got := res.Header.Get("fairlead-reason") == "circuit_open"; got != (sharing == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}

// A destination's breaker is that of all its endpoints, unless the policy says otherwise.
func TestRule22_ABreakerIsTheWholeDestinations(t *testing.T) {
	var n [2]atomic.Int64
	first, second := counted(t, &n[0], always(answer(500, ""))), counted(t, &n[1], always(answer(500, "")))
	w := build(t, first)
	w.shop(func(s *policy.Settings) {
		guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })(s)
		s.LoadBalancing = policy.RoundRobin
	}, first, second)
	for range 4 {
		w.rejected("/")
	}
	if n[0].Load() != 1 || n[1].Load() != 1 {
		t.Errorf("the endpoints got %d and %d calls before the breaker opened, want one each", n[0].Load(), n[1].Load())
	}
}
