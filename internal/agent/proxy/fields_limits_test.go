package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// perHour is a rate limit that lets one call an hour start behind a burst.
func perHour(burst int) policy.RateLimit {
	return policy.RateLimit{Requests: 1, Per: time.Hour, Burst: burst, Scope: policy.SharePod}
}

// limited has calls limited.
func limited(l policy.RateLimit) func(*policy.Settings) {
	return func(s *policy.Settings) { s.RateLimit = &l }
}

// aboutAnHour reports whether a Retry-After is right for a limit of one call an hour from which one has just been taken.
func aboutAnHour(retryAfter string) bool {
	n, err := strconv.Atoi(retryAfter)
	return err == nil && n > 3500 && n <= 3600
}

// limitWaiting is how many calls wait for a limit.
func limitWaiting(s *routes.Table) (waiting int) {
	s.Stats(time.Now(), func(s routes.Stats) { waiting += s.LimitWaiting })
	return waiting
}

// limitedCall waits until a call has been reported that a limit has refused, and returns it.
func (o *fakeRecorder) limitedCall(t testing.TB) (e routes.Exchange) {
	t.Helper()
	o.waitFor(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		i := slices.IndexFunc(o.calls, func(e routes.Exchange) bool { return e.Outcome.Kind == call.RateLimited })
		if i >= 0 {
			e = o.calls[i]
		}
		return i >= 0
	})
	return e
}

// As many calls start as the burst holds; the next one hears how long to wait, and is no attempt.
//
//enforces:http1 rateLimit.requests rateLimit.per rateLimit.burst
func TestRule24_CallsAboveTheRateAreRejected(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(limited(perHour(2))))
	c := w.dial()
	for i := range 2 {
		if res, _ := c.get("/"); res.StatusCode != 200 {
			t.Fatalf("call %d of the burst got %d", i, res.StatusCode)
		}
	}
	res, body := c.get("/")
	if res.StatusCode != 429 || res.Header.Get("fairlead-reason") != "rate_limited" || body != "fairlead: rate_limited\n" {
		t.Errorf("got %d %v %q", res.StatusCode, res.Header, body)
	}
	if v := res.Header.Get("Retry-After"); !aboutAnHour(v) {
		t.Errorf("Retry-After: %s", v)
	}
	if n.Load() != 2 {
		t.Errorf("%d calls at the upstream", n.Load())
	}
	w.seen.await(t, 3)
	if e := w.seen.limitedCall(t); e.Detail != routes.DetailRateLimit || len(e.Attempts) != 0 {
		t.Errorf("reported as %+v", e)
	}
}

// Refusals of the agent's own are no failures of the upstream.
func TestRule12_WhatIsLimitedOpensNoBreaker(t *testing.T) {
	w := build(t, serve(t, echo), toAny(func(s *policy.Settings) {
		guarded(func(b *policy.Breaker) { b.ConsecutiveFailures, b.FailureOn = 1, policy.Of(policy.RateLimited) })(s)
		limited(policy.RateLimit{Requests: 1, Per: 10 * time.Millisecond, Burst: 1, Scope: policy.SharePod})(s)
	}))
	c, rejected := w.dial(), 0
	poll(t, func() bool {
		res, _ := c.get("/")
		switch reason := res.Header.Get("fairlead-reason"); reason {
		case "rate_limited":
			rejected++
		case "":
			return rejected > 0
		default:
			t.Fatalf("rejected: %s", reason)
		}
		return false
	})
}

// Calls that may wait all start, and none before its time.
//
//enforces:http1 rateLimit.onLimit rateLimit.maxWait
func TestRule24_CallsWaitForTheRate(t *testing.T) {
	const calls, every = 5, 10 * time.Millisecond
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(limited(policy.RateLimit{
		Requests: 1, Per: every, Burst: 1, Scope: policy.SharePod, MaxWait: time.Hour,
	})))
	began := time.Now()
	var clients []*client
	for range calls {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		clients = append(clients, c)
	}
	for _, c := range clients {
		if res, _ := c.response(http.MethodGet); res.StatusCode != 200 {
			t.Errorf("got %d %v", res.StatusCode, res.Header)
		}
	}
	if took := time.Since(began); took < (calls-1)*every {
		t.Errorf("%d calls started within %v", calls, took)
	}
}

// What does not fit the time that a call has is not waited for.
func TestRule03_AWaitForTheRateFitsTheDeadline(t *testing.T) {
	w := build(t, serve(t, echo), toAny(func(s *policy.Settings) {
		l := perHour(1)
		l.MaxWait, s.Timeouts.Overall = 2*time.Hour, time.Minute
		s.RateLimit = &l
	}))
	c := w.dial()
	c.get("/")
	if res, _ := c.get("/"); res.StatusCode != 429 || !aboutAnHour(res.Header.Get("Retry-After")) {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

// A client that leaves while its call waits gives its turn to others.
func TestRule24_AClientThatLeavesGivesItsTurnBack(t *testing.T) {
	l := perHour(1)
	l.MaxWait = 90 * time.Minute // for one call to wait
	w := build(t, serve(t, echo), toAny(limited(l)))
	c := w.dial()
	c.get("/")
	leaving := w.dial()
	leaving.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	poll(t, func() bool { return limitWaiting(w.store) == 1 })
	if res, _ := c.get("/"); res.StatusCode != 429 {
		t.Fatalf("with one waiting, got %d", res.StatusCode)
	}
	leaving.Close()
	poll(t, func() bool { return limitWaiting(w.store) == 0 })
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	poll(t, func() bool { return limitWaiting(w.store) == 1 })
}

// Pods count together where the policy says so.
//
//enforces:http1 rateLimit.scope
func TestRule24_ARateIsSharedAsWritten(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			l := perHour(1)
			l.Scope = scope
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toAny(limited(l)))
			n.dial("other").get("/")
			res, _ := n.dial(pod).get("/")
			if got := res.Header.Get("fairlead-reason") == "rate_limited"; got != (scope == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}
