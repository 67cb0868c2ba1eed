package proxy

import (
	"context"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// timeLeft is the time that a server sees left, or 0.
func timeLeft(ctx context.Context) time.Duration {
	if until, ok := ctx.Deadline(); ok {
		return time.Until(until)
	}
	return 0
}

//enforces:grpc timeouts.overall timeouts.maxDuration
func TestRule05_ServersHearWhatIsLeft(t *testing.T) {
	overall := func(d time.Duration) func(*policy.Settings) {
		return func(s *policy.Settings) { retryStatuses(unavailable)(s); s.Timeouts.Overall = d }
	}
	for name, tc := range map[string]struct {
		client time.Duration // 0: none
		change func(*policy.Settings)
		most   time.Duration // 0: there is to be no deadline
	}{
		"the client's is shorter": {time.Minute, overall(time.Hour), time.Minute},
		"the policy's is shorter": {time.Hour, overall(time.Minute), time.Minute},
		"only the client's":       {time.Minute, overall(0), time.Minute},
		"maxDuration is shorter":  {time.Hour, func(s *policy.Settings) { overall(0)(s); s.Timeouts.MaxDuration = time.Minute }, time.Minute},
		"only the policy's":       {0, overall(time.Minute), 0},
		"none":                    {0, overall(0), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var left []time.Duration
			s := unaryServer(func(ctx context.Context, n int) error {
				left = append(left, timeLeft(ctx))
				if n == 1 {
					pause := time.NewTimer(20 * time.Millisecond)
					<-pause.C
					return rpcstatus.Error(codes.Unavailable, "")
				}
				return nil
			})
			w := build(t, serveRPC(t, s), toRPC(tc.change))
			ctx := t.Context()
			if tc.client > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.client)
				defer cancel()
			}
			if code, _ := unaryCall(t, w.clientRPC(), ctx); code != codes.OK {
				t.Fatal(code)
			}
			for i, d := range left {
				if d > tc.most || (d > 0) != (tc.most > 0) {
					t.Errorf("attempt %d has %v left, want %v", i, d, tc.most)
				}
			}
			if tc.most > 0 && left[0]-left[1] < 20*time.Millisecond {
				t.Errorf("the first attempt has %v left, the second %v", left[0], left[1])
			}
		})
	}
}

//overtls:originate,intercept
func TestRule05_TheSmallerDeadlineEndsACall(t *testing.T) {
	for name, tc := range map[string]struct {
		client  time.Duration
		overall time.Duration
		kind    call.Kind
	}{
		"the policy's": {patience, 50 * time.Millisecond, call.Deadline},
		"the client's": {50 * time.Millisecond, time.Hour, call.ClientGone},
	} {
		t.Run(name, func(t *testing.T) {
			gone, answered := newBarrier(), make(chan struct{})
			s := unaryServer(func(ctx context.Context, _ int) error {
				<-ctx.Done()
				gone.now()
				<-answered // the server hears the same deadline, and its answer could be the first
				return ctx.Err()
			})
			w := build(t, serveRPC(t, s), toRPC(func(s *policy.Settings) { s.Timeouts.Overall = tc.overall }))
			code, trailer := codes.OK, metadata.MD(nil)
			for d := tc.client; s.calls.Load() == 0; d *= 2 { // until the machine is fast enough for the call to reach the server
				ctx, cancel := context.WithTimeout(t.Context(), d)
				code, trailer = unaryCall(t, w.clientRPC(), ctx)
				cancel()
			}
			close(answered)
			if code != codes.DeadlineExceeded || tc.kind == call.Deadline && reasonOf(trailer) != "deadline" {
				t.Errorf("%v, %v", code, trailer)
			}
			<-gone.C
			// A client's own timer and ours end the call at about the same time.
			if o := w.seen.lastCall(t).Outcome; o.Kind != tc.kind && o.Kind != call.Deadline && o.GRPCStatus != int(codes.DeadlineExceeded) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// A timeout that nobody can read is the server's to refuse, and one that has run out is answered at once.
//
//overtls:originate,intercept
func TestRule05_OddTimeouts(t *testing.T) {
	for value, want := range map[string]struct{ forwarded, reason string }{
		"1x": {"1x", ""}, "123456789S": {"123456789S", ""}, "": {"", ""}, "0m": {"?", "deadline"}, "99999999H": {"*", ""},
	} {
		t.Run(value, func(t *testing.T) {
			var heard string
			up := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
				f, err := s.Head()
				if err != nil {
					return
				}
				heard = f.Get("grpc-timeout")
				_ = s.Headers(true, http2test.F(":status", "200", "content-type", "application/grpc", "grpc-status", "0"))
			}})
			w := build(t, up.Addr(), toRPC(nil))
			c := w.dialH2(http2test.Options{})
			s, err := c.Post("up.example", "/s/m", []byte{0, 0, 0, 0, 0}, http2test.F("content-type", "application/grpc", "grpc-timeout", value))
			if err != nil {
				t.Fatal(err)
			}
			f, err := s.Head()
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Get("fairlead-reason"); got != want.reason {
				t.Errorf("the answer is %v", f)
			}
			switch {
			case want.forwarded == "*" && grpc.Timeout([]byte(heard)) <= 0:
				t.Errorf("the server hears %q", heard)
			case want.forwarded != "*" && want.forwarded != "?" && heard != want.forwarded:
				t.Errorf("the server hears %q, want %q", heard, want.forwarded)
			}
		})
	}
}

//enforces:grpc timeouts.perTry
func TestRule26_LocalAnswersOverGRPC(t *testing.T) {
	silent := unaryServer(func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() })
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		before func(*testProxy)
		want   codes.Code
		reason string
	}{
		"nobody listens":            {nil, func(w *testProxy) { w.dialer.refuse.Store(100) }, codes.Unavailable, "connect_failure"},
		"the connection is reset":   {nil, func(w *testProxy) { w.dialer.broken.Store(100) }, codes.Unavailable, "reset"},
		"an attempt takes too long": {func(s *policy.Settings) { s.Timeouts.PerTry, s.Retry.MaxRetries = 20*time.Millisecond, 0 }, nil, codes.DeadlineExceeded, "per_try_timeout"},
		"the circuit is open": {guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 }), func(w *testProxy) {
			w.dialer.refuse.Store(100)
			unaryCall(w.t, w.clientRPC(), bound(w.t))
		}, codes.Unavailable, "circuit_open"},
		"the connections are used": {alone(func(p *policy.Pool) { p.MaxConnections, p.MaxPending = 1, 0 }), func(w *testProxy) {
			kind := http2test.F("content-type", "application/grpc", "te", "trailers")
			must(w.dialH2(http2test.Options{}).Post("up.example", "/grpc.testing.TestService/UnaryCall", make([]byte, 5), kind))(w.t)
			w.waitFor(w.t, func() bool { return w.dialer.dials.Load() == 1 })
		}, codes.Unavailable, "pool_overflow"},
		"the call takes too long": {func(s *policy.Settings) { s.Timeouts.Overall = 20 * time.Millisecond }, nil, codes.DeadlineExceeded, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serveRPC(t, silent), toRPC(tc.change))
			if tc.before != nil {
				tc.before(w)
			}
			if tc.reason == "reset" && over.mode != policy.TLSPassthrough { // so early that it ends the handshake
				tc.reason = "connect_failure"
			}
			ctx, cancel := context.WithCancel(t.Context()) // without a deadline, of which the server would hear
			defer time.AfterFunc(patience, cancel).Stop()
			code, trailer := unaryCall(t, w.clientRPC(), ctx)
			if code != tc.want || reasonOf(trailer) != tc.reason {
				t.Errorf("%v, %v; want %v, %s", code, trailer, tc.want, tc.reason)
			}
			if o := w.seen.lastCall(t).Outcome; o.GRPCStatus != int(tc.want) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// What a reset means to a client without us, it means with us.
func TestRule00_ResetsKeepTheirMeaning(t *testing.T) {
	for code, want := range map[uint32]codes.Code{2: codes.Internal, 8: codes.Canceled, 11: codes.ResourceExhausted, 12: codes.PermissionDenied} {
		up := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) { _, _ = s.Body(); _ = s.Reset(http2.ErrCode(code)) }})
		w := build(t, up.Addr(), toRPC(func(s *policy.Settings) { s.Retry.On = 0 }))
		if got, _ := unaryCall(t, w.clientRPC(), bound(t)); got != want {
			t.Errorf("a reset with %d is %v, want %v", code, got, want)
		}
	}
}

func TestRule22_ABreakerCountsGRPCStatuses(t *testing.T) {
	for name, early := range map[string]bool{"trailers-only": false, "behind the head": true} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serveRPC(t, failsAtFirst(1000, early)), toRPC(guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 3 })))
			c := w.clientRPC()
			for i := range 3 {
				if code, trailer := unaryCall(t, c, bound(t)); code != codes.Unavailable || reasonOf(trailer) != "" {
					t.Fatalf("call %d: %v, %v", i, code, trailer)
				}
			}
			w.waitFor(t, func() bool { // the end of a call is reported behind its answer
				code, trailer := unaryCall(t, c, bound(t))
				return code == codes.Unavailable && reasonOf(trailer) == "circuit_open"
			})
		})
	}
}

// Streams outlive timeouts.overall, whose end their servers do not know.
func TestRule01_StreamsOutliveTheOverallDeadline(t *testing.T) {
	s := &rpcServer{duplex: func(s rpc.TestService_FullDuplexCallServer) error {
		for {
			if _, err := s.Recv(); err != nil {
				return nil
			}
			if err := s.Send(&rpc.StreamingOutputCallResponse{}); err != nil {
				return err
			}
		}
	}}
	const overall = 100 * time.Millisecond
	w := build(t, serveRPC(t, s), toRPC(func(s *policy.Settings) { s.Timeouts.Overall = overall }))
	to, err := w.clientRPC().FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, began := 0, time.Now(); i == 0 || time.Since(began) < 2*overall; i++ {
		if err := to.Send(&rpc.StreamingOutputCallRequest{}); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if _, err := to.Recv(); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	_ = to.CloseSend()
}

// A client whose own deadline has passed goes on with its connection, also where it has chosen the address.
func TestRule25_AClientsDeadlineDoesNotEndItsConnection(t *testing.T) {
	up := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
		if f, err := s.Head(); err != nil || f.Has("grpc-timeout") {
			return // no answer
		}
		_ = s.Headers(true, http2test.F(":status", "200", "content-type", "application/grpc", "grpc-status", "0"))
	}})
	w := build(t, up.Addr(), toRPC(nil))
	c := w.dialH2(http2test.Options{})
	for i, fields := range []http2test.Fields{http2test.F("grpc-timeout", "20m"), nil} {
		s, err := c.Post("up.example", "/s/m", []byte{0, 0, 0, 0, 0}, append(http2test.F("content-type", "application/grpc"), fields...))
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Head()
		if want := []string{"4", "0"}[i]; err != nil || f.Get("grpc-status") != want {
			t.Fatalf("call %d: %v, %v", i, f, err)
		}
	}
	if n := c.Count(http2.FrameGoAway); n > 0 {
		t.Error("the connection is to end")
	}
}
