package proxy

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// narrowRPC is a gRPC server whose windows do not grow.
type narrowRPC struct{ *rpcServer }

func (narrowRPC) options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.StaticStreamWindowSize(64 << 10), grpc.StaticConnWindowSize(64 << 10)}
}

// silentRPC is a gRPC server that reads nothing of what its calls send on, and says nothing.
func silentRPC() narrowRPC {
	return narrowRPC{&rpcServer{duplex: func(s rpc.TestService_FullDuplexCallServer) error { <-s.Context().Done(); return nil }}}
}

//enforces:grpc timeouts.connect timeouts.responseHeader timeouts.write
func TestRule02_DeadlinesOfAttemptsHoldOverGRPC(t *testing.T) {
	short := 50 * time.Millisecond
	for name, tc := range map[string]struct {
		set    func(*policy.Timeouts)
		slow   time.Duration // to connect
		send   int
		want   codes.Code
		detail routes.Detail
	}{
		"connect":        {func(l *policy.Timeouts) { l.Connect, l.Overall = short, 3*time.Second }, time.Minute, 1, codes.Unavailable, routes.DetailConnect},
		"responseHeader": {func(l *policy.Timeouts) { l.ResponseHeader = short }, 0, 1, codes.DeadlineExceeded, routes.DetailResponseHeader},
		"write":          {func(l *policy.Timeouts) { l.Write = short }, 0, 1 << 20, codes.DeadlineExceeded, routes.DetailWrite},
	} {
		t.Run(name, func(t *testing.T) {
			w := buildH2(t, serveRPC(t, silentRPC()), toRPC(func(s *policy.Settings) { tc.set(&s.Timeouts); s.Retry.MaxRetries = 0 }))
			w.dialer.slow.Store(int64(tc.slow))
			s := must(w.clientRPC().FullDuplexCall(bound(t)))(t)
			_ = s.Send(&rpc.StreamingOutputCallRequest{Payload: payload(tc.send)}) // which may end early
			_ = s.CloseSend()
			if _, err := s.Recv(); rpcstatus.Code(err) != tc.want || reasonOf(s.Trailer()) == "" {
				t.Errorf("got %v, %v", err, s.Trailer())
			}
			if e := w.seen.lastCall(t); e.Detail != tc.detail {
				t.Errorf("%+v", e)
			}
		})
	}
}

// A stream whose server has gone silent ends behind its first message.
//
//enforces:grpc timeouts.idle timeouts.read
func TestTimeoutsOfStreamsOfGRPC(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(*policy.Timeouts)
		want routes.Detail
	}{
		"idle": {func(l *policy.Timeouts) { l.Idle = 50 * time.Millisecond }, routes.DetailIdle},
		"read": {func(l *policy.Timeouts) { l.Read = 50 * time.Millisecond }, routes.DetailRead},
	} {
		t.Run(name, func(t *testing.T) {
			srv := &rpcServer{output: func(_ int, _ *rpc.StreamingOutputCallRequest, s rpc.TestService_StreamingOutputCallServer) error {
				_ = s.Send(&rpc.StreamingOutputCallResponse{})
				<-s.Context().Done()
				return nil
			}}
			w := buildH2(t, serveRPC(t, srv), toRPC(func(s *policy.Settings) { tc.set(&s.Timeouts) }))
			s := must(w.clientRPC().StreamingOutputCall(bound(t), &rpc.StreamingOutputCallRequest{}))(t)
			must(s.Recv())(t)
			if _, err := s.Recv(); err == nil {
				t.Error("another message has come")
			}
			if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Detail != tc.want || srv.calls.Load() != 1 {
				t.Errorf("outcome %+v, %q", e.Outcome, e.Detail)
			}
		})
	}
}

//enforces:grpc timeouts.adaptive.min timeouts.adaptive.max timeouts.adaptive.deviations timeouts.adaptive.window
func TestRule06_AttemptsAreAsLongAsOthersTookOverGRPC(t *testing.T) {
	for name, tc := range adaptiveCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			w := buildH2(t, serveRPC(t, unaryServer(func(ctx context.Context, _ int) error {
				if path := asks(ctx); path == never {
					<-ctx.Done()
				} else {
					waitFor(path)
				}
				return nil
			})), tc.to(toRPC(nil)))
			c := w.clientRPC()
			for _, group := range tc.before {
				var all []*callBeside
				for _, d := range group {
					b := begin(t, c, waitPath(d))
					if all = append(all, b); d == 0 { // one after the other, so that they do not slow each other down
						b.wait()
					}
				}
				for _, b := range all {
					if code := b.wait(); code != codes.OK {
						t.Fatalf("got %v", code)
					}
				}
			}
			w.seen.await(t, tc.calls())
			w.seen.forget(t)
			endRPC(t, c, waitPath(tc.last))
			tc.ended(t, w)
		})
	}
}

//enforces:grpc connectionPool.http2.pingInterval connectionPool.http2.pingTimeout
func TestPingsFindAServerOfGRPCThatIsGone(t *testing.T) {
	srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{NoPingAck: true}, Stream: func(*http2test.Stream) {}})
	w := buildH2(t, srv.Addr(), toRPC(func(s *policy.Settings) {
		s.Pool.PingInterval, s.Pool.PingTimeout = 30*time.Millisecond, 30*time.Millisecond
		s.Timeouts.Overall = 3 * time.Second // sooner than an answer is given up that no time is written for
		s.Retry.MaxRetries = 0
	}))
	if code, trailer := unaryCall(t, w.clientRPC(), bound(t)); code != codes.Unavailable || reasonOf(trailer) != "reset" {
		t.Errorf("got %v, %v", code, trailer)
	}
}
