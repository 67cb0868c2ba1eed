package proxy

import (
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// A gRPC call above the limit is answered RESOURCE_EXHAUSTED, and does not reach the server.
//
//enforces:grpc concurrency.max
func TestRule24_GRPCCallsAtOnceAreLimited(t *testing.T) {
	w, h := holdingRPC(t, running(policy.Concurrency{Max: 2, Scope: policy.SharePod}))
	c := w.clientRPC()
	calls := h.hold(w, c, 2)
	code, trailer := unaryCall(t, c, bound(t))
	if code != codes.ResourceExhausted || reasonOf(trailer) != "rate_limited" || len(trailer.Get("grpc-retry-pushback-ms")) != 1 {
		t.Errorf("one more got %v, %v", code, trailer)
	}
	if e := w.seen.limitedCall(t); e.Detail != routes.DetailConcurrency || h.calls.Load() != 2 {
		t.Errorf("reported as %+v, with %d calls at the server", e, h.calls.Load())
	}
	calls[0].cancel()
	poll(t, func() bool { code, _ := endRPC(t, c, ""); return code == codes.OK })
}

// The place of a gRPC call that ends is another's, and one that is cancelled leaves the queue.
//
//enforces:grpc concurrency.maxQueued concurrency.maxWait
func TestRule24_GRPCCallsWaitForAPlace(t *testing.T) {
	w, h := holdingRPC(t, running(policy.Concurrency{Max: 1, MaxQueued: 2, MaxWait: time.Hour, Scope: policy.SharePod}))
	c := w.clientRPC()
	calls := append(h.hold(w, c, 1), begin(t, c, ""), begin(t, c, ""))
	poll(t, func() bool { return limitWaiting(w.store) == 2 })
	if code, reason := endRPC(t, c, ""); code != codes.ResourceExhausted || reason != "rate_limited" {
		t.Errorf("one more than may wait got %v, %q", code, reason)
	}
	calls[1].cancel()
	poll(t, func() bool { return limitWaiting(w.store) == 1 })
	h.release.now()
	for _, i := range []int{0, 2} {
		if code := calls[i].wait(); code != codes.OK {
			t.Errorf("call %d got %v", i, code)
		}
	}
	if n := h.calls.Load(); n != 2 {
		t.Errorf("%d calls at the server", n)
	}
}

//enforces:grpc concurrency.adaptive.min concurrency.adaptive.max
func TestRule24_AnAdaptiveLimitOfGRPCCallsKeepsItsBounds(t *testing.T) {
	for name, tc := range adaptiveBounds {
		t.Run(name, func(t *testing.T) {
			w, h := holdingRPC(t, running(policy.Concurrency{Adaptive: &tc.bounds, Scope: policy.SharePod}))
			c := w.clientRPC()
			h.hold(w, c, tc.held)
			if code, reason := endRPC(t, c, ""); code != codes.ResourceExhausted || reason != "rate_limited" {
				t.Errorf("one more got %v, %q", code, reason)
			}
		})
	}
}

//enforces:grpc concurrency.scope
func TestRule24_PlacesOfGRPCCallsAreSharedAsWritten(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toRPC(running(policy.Concurrency{Max: 1, Scope: scope})))
			h := newHeldRPC(t)
			n.up = serveRPC(t, h)
			begin(t, n.clientRPC(pod), toHold)
			<-h.arrived
			want := codes.Unavailable // it cannot connect
			if scope == policy.ShareNode {
				want = codes.ResourceExhausted
			}
			if code, reason := endRPC(t, n.clientRPC("other"), ""); code != want {
				t.Errorf("the other pod got %v, %q", code, reason)
			}
			h.release.now()
		})
	}
}
