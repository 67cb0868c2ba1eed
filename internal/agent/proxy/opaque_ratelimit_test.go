package proxy

import (
	"io"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// A connection that is passed through is a call that starts; one too many is reset, and does not reach the server.
//
//enforces:opaque rateLimit.requests rateLimit.per rateLimit.burst
func TestRule24_ConnectionsAboveTheRateAreReset(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(limited(perHour(2))))
	for i := range 2 {
		if reached, _ := w.reaches(); !reached {
			t.Fatalf("connection %d of the burst was reset", i)
		}
	}
	if reached, attempts := w.reaches(); reached || attempts != 0 {
		t.Errorf("reached %v after %d attempts", reached, attempts)
	}
	e := w.seen.limitedCall(t)
	if e.Outcome.Kind.Reason() != "rate_limited" || e.Detail != routes.DetailRateLimit || e.Outcome.Refusal.RetryAfter < 50*time.Minute {
		t.Errorf("reported as %+v", e)
	}
}

//enforces:opaque rateLimit.onLimit rateLimit.maxWait
func TestRule24_ConnectionsWaitForTheRate(t *testing.T) {
	const calls, every = 4, 10 * time.Millisecond
	w := build(t, serve(t, copying), declaredTCP(limited(policy.RateLimit{
		Requests: 1, Per: every, Burst: 1, Scope: policy.SharePod, MaxWait: time.Hour,
	})))
	began := time.Now()
	for range calls {
		if reached, _ := w.reaches(); !reached {
			t.Error("a connection was reset")
		}
	}
	if took := time.Since(began); took < (calls-1)*every {
		t.Errorf("%d connections were made within %v", calls, took)
	}
}

//enforces:opaque rateLimit.scope
func TestRule24_ARateOfConnectionsIsSharedAsWritten(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			l := perHour(1)
			l.Scope = scope
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, declaredTCP(limited(l)))
			n.dial("other").reached()
			c := n.dial(pod)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // fails when it is reset already
			_, err := c.r.ReadByte()
			if rejected := err != nil; rejected != (scope == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", rejected)
			}
		})
	}
}
