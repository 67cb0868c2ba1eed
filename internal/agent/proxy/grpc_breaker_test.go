package proxy

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"fairlead.dev/fairlead/internal/policy"
)

// toFail asks for UNAVAILABLE.
const toFail = "14"

// rejectedRPC makes a call and reports whether an open breaker kept it from the server.
func rejectedRPC(t testing.TB, c rpc.TestServiceClient, what string) bool {
	t.Helper()
	code, reason := endRPC(t, c, what)
	return code == codes.Unavailable && reason == "circuit_open"
}

// What counts for the breaker of gRPC calls beside their statuses is written.
//
//enforces:grpc circuitBreaker.failures.when
func TestRule22_WhatFailsOpensForGRPCAsWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		on    policy.Conditions
		opens bool
	}{"timeouts": {policy.Of(policy.PerTryTimeout), true}, "not timeouts": {policy.Of(policy.ConnectFailure), false}} {
		t.Run(name, func(t *testing.T) {
			srv := unaryServer(func(ctx context.Context, _ int) error { <-ctx.Done(); return nil })
			w := buildH2(t, serveRPC(t, srv), toRPC(func(s *policy.Settings) {
				guarded(func(b *policy.Breaker) { b.ConsecutiveFailures, b.FailureOn = 1, tc.on })(s)
				s.Timeouts.PerTry, s.Retry.MaxRetries = 200*time.Millisecond, 0
			}))
			c := w.clientRPC()
			for _, want := range []bool{false, tc.opens} {
				if got := rejectedRPC(t, c, ""); got != want {
					t.Errorf("rejected: %v, want %v", got, want)
				}
				w.seen.lastCall(t)
			}
		})
	}
}

// A breaker lets a gRPC call through again when its time is over, and its time is bounded however often that call fails.
//
//enforces:grpc circuitBreaker.open.duration circuitBreaker.open.maxDuration
func TestRule22_OpenTimesAreAsWrittenOverGRPC(t *testing.T) {
	w, h := holdingRPC(t, guarded(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.OpenDuration, b.OpenMaxDuration = 1, time.Millisecond, 20*time.Millisecond
	}))
	c := w.clientRPC()
	// Doubled each time, the last open time would be 16 s.
	poll(t, func() bool { rejectedRPC(t, c, toFail); return h.calls.Load() >= 15 })
}

//enforces:grpc circuitBreaker.halfOpen.probes circuitBreaker.halfOpen.successesToClose
func TestRule22_HalfOpenIsAsWrittenOverGRPC(t *testing.T) {
	for name, tc := range map[string]struct{ probes, successes, held int }{"probes": {2, 1, 2}, "successes": {1, 2, 1}} {
		t.Run(name, func(t *testing.T) {
			w, h := holdingRPC(t, func(s *policy.Settings) {
				guarded(func(b *policy.Breaker) {
					b.ConsecutiveFailures, b.OpenDuration, b.Probes, b.SuccessesToClose = 1, time.Millisecond, tc.probes, tc.successes
				})(s)
				s.Timeouts.PerTry = time.Hour // for so long may a probe take
			})
			c := w.clientRPC()
			endRPC(t, c, toFail)
			w.seen.lastCall(t)
			for range tc.successes - 1 {
				poll(t, func() bool { return !rejectedRPC(t, c, "") })
			}
			poll(t, func() bool { begin(t, c, toHold); return len(h.arrived) >= tc.held })
			if !rejectedRPC(t, c, "") {
				t.Errorf("with %d calls at the server another was let through", len(h.arrived))
			}
		})
	}
}

// With an open time that is drawn from nothing to twice its length, some of many breakers let a call through long before it is over.
//
//enforces:grpc circuitBreaker.open.jitterPercent
func TestRule22_OpenTimesAreDrawnAsWrittenOverGRPC(t *testing.T) {
	t.Parallel() // it waits
	const breakers = 100
	b := manyBreakers(breakers)
	b.To.Protocol = policy.ProtocolGRPC
	for i := range b.Rules {
		b.Rules[i].Match = []policy.RequestMatch{{Headers: []policy.RequestHeader{{Name: "x-breaker", Type: policy.ValueExact, Value: b.Rules[i].Name}}}}
	}
	h := newHeldRPC(t)
	c := buildH2(t, serveRPC(t, h), b).clientRPC()
	callAll := func() {
		for i := range breakers {
			unaryCall(t, c, metadata.AppendToOutgoingContext(askingFor(bound(t), toFail), "x-breaker", strconv.Itoa(i)))
		}
	}
	callAll()
	if n := h.calls.Load(); n < breakers {
		t.Fatalf("%d of %d breakers had a call", n, breakers)
	}
	poll(t, func() bool { callAll(); return h.calls.Load() > breakers })
}

// Pods that do not share a breaker do not open each other's.
//
//enforces:grpc circuitBreaker.sharing
func TestRule22_ABreakerIsSharedAsWrittenOverGRPC(t *testing.T) {
	for name, sharing := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toRPC(guarded(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.Sharing = 1, sharing
			})))
			h := newHeldRPC(t)
			n.up = serveRPC(t, h)
			other := n.clientRPC("other")
			poll(t, func() bool { return rejectedRPC(t, other, "") }) // its own call has opened it
			if got := rejectedRPC(t, n.clientRPC(pod), ""); got != (sharing == policy.ShareNode) || got != (h.calls.Load() == 0) {
				t.Errorf("the other pod was rejected: %v, with %d calls at the server", got, h.calls.Load())
			}
		})
	}
}
