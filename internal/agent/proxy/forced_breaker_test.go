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

// forced has the binding's breakers kept open or closed by hand for an hour.
func forced(b policy.Binding, open bool) policy.Binding {
	b.ForcedBreaker = policy.ForcedBreaker{Open: open, Until: time.Now().Add(time.Hour).Unix()}
	return b
}

// tripsAtOnce has a breaker that opens at the first failure.
func tripsAtOnce(s *policy.Settings) {
	guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })(s)
	s.Retry.MaxRetries = 0
}

// A breaker that is kept open by hand rejects every call, also where the policy has no breaker, until that is taken back.
//
//overtls:originate,intercept
func TestRule22_WhatIsOpenedByHandIsOpen(t *testing.T) {
	for name, set := range map[string]func(*policy.Settings){"without a breaker": nil, "with one": tripsAtOnce} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(200, ""))), forced(toAny(set), true))
			if first, second := w.rejected("/"), w.rejected("/"); !first || !second || n.Load() != 0 {
				t.Fatalf("%d calls reached the server, want none", n.Load())
			}
			if e := w.seen.lastCall(t); e.Outcome.Kind.Reason() != "circuit_open" || e.Detail != routes.DetailByHand {
				t.Errorf("%s, %q", e.Outcome.Kind.Reason(), e.Detail)
			}
			w.install(toAny(set))
			if w.rejected("/") || n.Load() != 1 {
				t.Errorf("%d calls reached the server after it was taken back, want 1", n.Load())
			}
			w.install(forced(toAny(set), true))
			if !w.rejected("/") {
				t.Error("not open again")
			}
		})
	}
}

//overtls:originate,intercept
func TestRule22_WhatIsOpenedByHandIsOpenOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, forced(toAnyH2(nil), true), statusFor)
	if c := w.dialH2(http2test.Options{}); !rejectedH2(t, c, "/") || n.Load() != 0 {
		t.Errorf("%d calls reached the server, want none", n.Load())
	}
	w.install(toAnyH2(nil))
	if c := w.dialH2(http2test.Options{}); rejectedH2(t, c, "/") || n.Load() != 1 {
		t.Errorf("%d calls reached the server after it was taken back, want 1", n.Load())
	}
}

//overtls:originate,intercept
func TestRule22_WhatIsOpenedByHandIsOpenForGRPC(t *testing.T) {
	w := build(t, serveRPC(t, failing(codes.Aborted)), forced(toRPC(nil), true))
	if _, trailer := unaryCall(t, w.clientRPC(), bound(t)); reasonOf(trailer) != "circuit_open" {
		t.Errorf("not rejected: %v", trailer)
	}
	w.install(toRPC(nil))
	if _, trailer := unaryCall(t, w.clientRPC(), bound(t)); reasonOf(trailer) != "" {
		t.Errorf("rejected after it was taken back: %v", trailer)
	}
}

func TestRule22_WhatIsOpenedByHandIsOpenForConnections(t *testing.T) {
	w := build(t, serve(t, copying), forced(declaredTCP(nil), true))
	if reached, dials := w.reaches(); reached || dials != 0 {
		t.Errorf("reached %v after %d attempts", reached, dials)
	}
	w.install(declaredTCP(nil))
	if reached, _ := w.reaches(); !reached {
		t.Error("rejected after it was taken back")
	}
}

// A breaker that is kept closed by hand lets everything through, whatever fails, and opens again once that is taken back.
//
//overtls:originate,intercept
func TestRule22_WhatIsClosedByHandStaysClosed(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(500, ""))), toAny(tripsAtOnce))
	if w.rejected("/"); !w.rejected("/") {
		t.Fatal("it does not open by itself")
	}
	w.install(forced(toAny(tripsAtOnce), false))
	for range 10 {
		if w.rejected("/") {
			t.Fatal("rejected")
		}
	}
	w.install(toAny(tripsAtOnce))
	if w.rejected("/"); !w.rejected("/") || n.Load() != 12 {
		t.Errorf("%d calls reached the server, want 1, 10, and 1", n.Load())
	}
}

//overtls:originate,intercept
func TestRule22_WhatIsClosedByHandStaysClosedOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, forced(toAnyH2(tripsAtOnce), false), statusFor)
	c := w.dialH2(http2test.Options{})
	for range 10 {
		if rejectedH2(t, c, "/500") {
			t.Fatal("rejected")
		}
	}
}

//overtls:originate,intercept
func TestRule22_WhatIsClosedByHandStaysClosedForGRPC(t *testing.T) {
	w := build(t, serveRPC(t, failing(codes.Unavailable)), forced(toRPC(tripsAtOnce), false))
	c := w.clientRPC()
	for range 5 {
		if _, trailer := unaryCall(t, c, bound(t)); reasonOf(trailer) == "circuit_open" {
			t.Fatal("rejected")
		}
	}
}

func TestRule22_WhatIsClosedByHandStaysClosedForConnections(t *testing.T) {
	w := build(t, closedAddress(t), forced(declaredTCP(tripsAtOnce), false))
	for range 3 {
		if _, dials := w.reaches(); dials != 1 {
			t.Fatalf("%d attempts, want 1", dials)
		}
	}
}
