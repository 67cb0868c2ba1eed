package proxy

import (
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// order has breakers that the cluster shares do what the manager has decided. Breakers of which nothing was seen are not shared by the cluster.
func (w *testProxy) order(number uint64, order policy.BreakerOrder) {
	w.t.Helper()
	now := time.Now()
	var list []policy.BreakerVerdict
	for _, r := range w.store.BreakerReports(now) {
		list = append(list, policy.BreakerVerdict{Key: r.Key, Number: number, Order: order, For: time.Hour, Hold: time.Hour})
	}
	w.store.ObeyBreakers(now, list)
}

func byCluster(s *policy.Settings) {
	guarded(func(b *policy.Breaker) { b.ConsecutiveFailures, b.Sharing = 5, policy.ShareCluster })(s)
	s.Retry.MaxRetries = 0
}

// What the cluster opens is open here, whatever has been seen here, and one call is let through to probe when the cluster wants that.
//
//enforces:http1 circuitBreaker.sharing
func TestRule22_WhatTheClusterOpensIsOpen(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(byCluster))
	if w.rejected("/") {
		t.Fatal("rejected before it is open")
	}
	w.seen.await(t, 1) // it is reported when its client has had the answer
	w.order(1, policy.BreakerOpen)
	if !w.rejected("/") || n.Load() != 1 {
		t.Errorf("%d calls reached the server, want 1", n.Load())
	}
	w.seen.await(t, 2)
	if e := w.seen.lastCall(t); e.Outcome.Kind.Reason() != "circuit_open" || e.Detail != routes.DetailCluster {
		t.Errorf("%s, %q", e.Outcome.Kind.Reason(), e.Detail)
	}
	w.order(2, policy.BreakerProbe)
	if w.rejected("/") || n.Load() != 2 {
		t.Errorf("%d calls reached the server, want the probe", n.Load())
	}
}

//enforces:http2 circuitBreaker.sharing
func TestRule22_WhatTheClusterOpensIsOpenOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(byCluster), statusFor)
	c := w.dialH2(http2test.Options{})
	if rejectedH2(t, c, "/") {
		t.Fatal("rejected before it is open")
	}
	w.order(1, policy.BreakerOpen)
	if !rejectedH2(t, c, "/") || n.Load() != 1 {
		t.Errorf("%d calls reached the server, want 1", n.Load())
	}
	w.order(2, policy.BreakerProbe)
	if rejectedH2(t, c, "/") || n.Load() != 2 {
		t.Errorf("%d calls reached the server, want the probe", n.Load())
	}
}

func TestRule22_WhatTheClusterOpensIsOpenForGRPC(t *testing.T) {
	w := build(t, serveRPC(t, failing(codes.Aborted)), toRPC(byCluster))
	c := w.clientRPC()
	if _, trailer := unaryCall(t, c, bound(t)); reasonOf(trailer) != "" {
		t.Fatal("rejected before it is open")
	}
	w.order(1, policy.BreakerOpen)
	if _, trailer := unaryCall(t, c, bound(t)); reasonOf(trailer) != "circuit_open" {
		t.Errorf("not rejected: %v", trailer)
	}
}

//enforces:opaque circuitBreaker.sharing
func TestRule22_WhatTheClusterOpensIsOpenForConnections(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(byCluster))
	if reached, _ := w.reaches(); !reached {
		t.Fatal("rejected before it is open")
	}
	w.order(1, policy.BreakerOpen)
	if reached, dials := w.reaches(); reached || dials != 0 {
		t.Errorf("reached %v after %d attempts", reached, dials)
	}
}
