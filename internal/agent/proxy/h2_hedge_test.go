package proxy

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

//enforces:http2 retry.hedging.delay retry.hedging.maxHedges
func TestRule17_ASlowStreamGetsAnotherBesideIt(t *testing.T) {
	for name, most := range map[string]int{"one": 1, "two": 2, "three": 3} {
		t.Run(name, func(t *testing.T) {
			var cancelled atomic.Int64
			var warmed atomic.Pointer[http2test.Conn]
			a := newArrivals(most + 1)
			w, _ := scripted(t, toAnyH2(hedges(afterDelay(most))), func(_ int, s *http2test.Stream) {
				if head, _ := s.Head(); head.Get(":path") == warm {
					warmed.Store(s.Conn)
					_ = s.Respond(200, nil, nil)
					return
				}
				a.next()
				if first := s.Conn == warmed.Load() && s.ID == 3; first || !a.wins() {
					if code, err := s.AwaitReset(); err != nil || code != xhttp2.ErrCodeCancel {
						t.Errorf("the attempt that lost got %v, %v", code, err)
					}
					cancelled.Add(1)
					return
				}
				_ = s.Respond(200, []byte("won"), nil)
			})
			c := w.dialH2(http2test.Options{})
			must(must(c.Post("a", warm, nil, nil))(t).Body())(t) // which is not hedged
			w.seen.forget(t)
			s := must(c.Get("a", "/", nil))(t)
			if status, _ := statusOf(t, s); status != "200" || string(must(s.Body())(t)) != "won" {
				t.Fatalf("status %s", status)
			}
			poll(t, func() bool { return cancelled.Load() == int64(most) })
			if a.count() != most+1 {
				t.Errorf("%d attempts have come", a.count())
			}
			if o := w.seen.lastCall(t).Outcome; o.Hedges != most || !o.HedgeWon || o.Decision != call.Recovered {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

//enforces:http2 retry.hedging.percentile
func TestRule17_TheDelayFollowsTheLatencyOverHTTP2(t *testing.T) {
	w, _ := scripted(t, toAnyH2(hedges(policy.Hedging{Max: 1, Percentile: 95})), func(n int, s *http2test.Stream) {
		if n == 20 {
			_, _ = s.AwaitReset()
			return
		}
		_ = s.Respond(200, nil, nil)
	})
	c := w.dialH2(http2test.Options{})
	for range 21 {
		if head := getH2(t, c, "/"); head.Get(":status") != "200" {
			t.Fatalf("got %v", head)
		}
	}
}

func TestRule17_StreamsThatAreNotHedged(t *testing.T) {
	for name, tc := range map[string]struct {
		post bool
		set  func(*policy.Settings)
	}{
		"an unsafe method":        {post: true},
		"a body that is not kept": {post: true, set: func(s *policy.Settings) { s.Retry.Idempotency, s.Retry.BodyMaxBytes = policy.AnyMethod, 1 }},
		"no budget":               {set: func(s *policy.Settings) { s.Retry.Budget = policy.Budget{Window: time.Second} }},
		"no place in the pool": {set: func(s *policy.Settings) {
			s.Pool.MaxConnections, s.Pool.MaxStreams, s.Pool.PendingTimeout = 1, 1, time.Hour
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w, _ := scripted(t, toAnyH2(hedges(afterDelay(1), func(s *policy.Settings) {
				if tc.set != nil {
					tc.set(s)
				}
			})), func(_ int, s *http2test.Stream) {
				n.Add(1)
				_, _ = s.Body()
				waitFor("/100")
				_ = s.Respond(200, nil, nil)
			})
			c := w.dialH2(http2test.Options{})
			var s *http2test.Stream
			if tc.post {
				s = must(c.Post("a", "/", []byte("hi"), nil))(t)
			} else {
				s = must(c.Get("a", "/", nil))(t)
			}
			if status, _ := statusOf(t, s); status != "200" || n.Load() != 1 {
				t.Errorf("status %s after %d attempts", status, n.Load())
			}
		})
	}
}

func TestRule17_ABadAnswerWaitsForTheOtherOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		first int // 0: it is reset
		want  string
	}{"which is good": {200, "200"}, "which is bad": {502, "502"}, "which is none": {0, "503"}} {
		t.Run(name, func(t *testing.T) {
			answered := newBarrier()
			defer answered.now()
			w, _ := scripted(t, toAnyH2(hedges(afterDelay(1), func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.ServerError), 1
			})), func(n int, s *http2test.Stream) {
				switch {
				case n > 0:
					_ = s.Respond(503, []byte("hedge"), nil)
				case tc.first == 0:
					<-answered.C
					_ = s.Reset(xhttp2.ErrCodeInternal)
				default:
					<-answered.C
					_ = s.Respond(tc.first, nil, nil)
				}
			})
			s := must(w.dialH2(http2test.Options{}).Get("a", "/", nil))(t)
			w.seen.awaitAttempts(t, 1)
			answered.now()
			if status, _ := statusOf(t, s); status != tc.want {
				t.Errorf("status %s, want %s", status, tc.want)
			}
		})
	}
}

func TestRule04_AStreamThatIsCancelledEndsAllAttempts(t *testing.T) {
	var came, cancelled atomic.Int64
	w, _ := scripted(t, toAnyH2(hedges(afterDelay(2))), func(_ int, s *http2test.Stream) {
		came.Add(1)
		_, _ = s.AwaitReset()
		cancelled.Add(1)
	})
	s := must(w.dialH2(http2test.Options{}).Get("a", "/", nil))(t)
	poll(t, func() bool { return came.Load() == 3 })
	check(t, s.Reset(xhttp2.ErrCodeCancel))
	poll(t, func() bool { return cancelled.Load() == 3 })
	for _, at := range w.seen.lastCall(t).Attempts {
		if at.Kind != call.ClientGone {
			t.Errorf("an attempt has ended as %v", at.Kind)
		}
	}
}

//enforces:grpc retry.hedging.delay retry.hedging.maxHedges
func TestRule17_AGRPCCallIsHedged(t *testing.T) {
	for name, most := range map[string]int{"one": 1, "two": 2, "three": 3} {
		t.Run(name, func(t *testing.T) {
			a := newArrivals(most + 1)
			srv := unaryServer(func(ctx context.Context, _ int) error {
				in, _ := metadata.FromIncomingContext(ctx)
				if a.next(); len(in.Get("grpc-previous-rpc-attempts")) == 0 || !a.wins() { // the first, whichever has come first
					<-ctx.Done()
				}
				return nil
			})
			w := build(t, serveRPC(t, srv), toRPC(hedges(afterDelay(most))))
			if code, trailer := unaryCall(t, w.clientRPC(), bound(t)); code != codes.OK {
				t.Errorf("%v, %v", code, trailer)
			}
			if n := srv.calls.Load(); n != int64(most)+1 {
				t.Errorf("%d attempts", n)
			}
			if o := w.seen.lastCall(t).Outcome; o.Hedges != most || !o.HedgeWon || o.GRPCStatus != 0 {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

//enforces:grpc retry.hedging.percentile
func TestRule17_TheDelayFollowsTheLatencyOfGRPCCalls(t *testing.T) {
	srv := unaryServer(func(ctx context.Context, n int) error {
		if n == 21 {
			<-ctx.Done()
		}
		return nil
	})
	w := buildH2(t, serveRPC(t, srv), toRPC(hedges(policy.Hedging{Max: 1, Percentile: 95})))
	c := w.clientRPC()
	for i := range 21 {
		if code, trailer := unaryCall(t, c, bound(t)); code != codes.OK {
			t.Fatalf("call %d got %v, %v", i, code, trailer)
		}
		w.seen.await(t, i+1)
	}
	if n := srv.calls.Load(); n < 22 {
		t.Errorf("%d attempts", n)
	}
}
