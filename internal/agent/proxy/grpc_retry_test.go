package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// failsAtFirst fails the first calls with UNAVAILABLE; early sends the head before.
func failsAtFirst(failures int, early bool) *rpcServer {
	return unaryServer(func(ctx context.Context, n int) error {
		if early {
			_ = grpc.SendHeader(ctx, nil)
		}
		if n <= failures {
			return rpcstatus.Errorf(codes.Unavailable, "attempt %d", n)
		}
		return nil
	})
}

func TestRule09_UnavailableIsRetriedBeforeAnyMessage(t *testing.T) {
	listed := retryStatuses(unavailable)
	for name, tc := range map[string]struct {
		change   func(*policy.Settings)
		failures int
		early    bool
		want     codes.Code
		attempts int
		decision call.RetryDecision
	}{
		"trailers-only":                        {listed, 2, false, codes.OK, 3, call.Recovered},
		"the head comes first":                 {listed, 2, true, codes.OK, 3, call.Recovered},
		"again and again":                      {listed, 9, false, codes.Unavailable, 3, call.Exhausted},
		"again and again behind the head":      {listed, 9, true, codes.Unavailable, 3, call.Exhausted},
		"a status that is not listed":          {retryStatuses(policy.GRPCStatus(codes.Internal)), 1, false, codes.Unavailable, 1, call.NotRetryable},
		"not listed, and the head comes first": {nil, 1, true, codes.Unavailable, 1, call.NotRetryable},
		"a call that may have paid":            {idempotent(listed), 1, false, codes.Unavailable, 1, call.ByMethod},
		"one whose head comes first":           {idempotent(listed), 1, true, codes.Unavailable, 1, call.ByMethod},
		"all is well":                          {listed, 0, true, codes.OK, 1, call.NotNeeded},
	} {
		t.Run(name, func(t *testing.T) {
			s := failsAtFirst(tc.failures, tc.early)
			w := build(t, serveRPC(t, s), toRPC(tc.change))
			code, _ := unaryCall(t, w.clientRPC(), bound(t))
			if n := int(s.calls.Load()); code != tc.want || n != tc.attempts {
				t.Errorf("%v after %d attempts, want %v after %d", code, n, tc.want, tc.attempts)
			}
			e := w.seen.lastCall(t)
			if o := e.Outcome; o.Decision != tc.decision || o.GRPCStatus != int(tc.want) || o.Kind != call.OK || !e.GRPC {
				t.Errorf("it is reported as %+v", e)
			}
			if a := e.Attempts[0]; len(e.Attempts) != tc.attempts || tc.attempts > 1 && (!a.GRPC || a.GRPCStatus != unavailable) {
				t.Errorf("attempts %+v", e.Attempts)
			}
		})
	}
}

// idempotent has the methods of HTTP decide what may be repeated, as they do where nothing is written.
func idempotent(change func(*policy.Settings)) func(*policy.Settings) {
	return func(s *policy.Settings) { change(s); s.Retry.Idempotency = policy.IdempotentMethods }
}

//enforces:grpc retry.idempotency.mode
func TestRule09_AKeyLetsACallBeRepeated(t *testing.T) {
	s := failsAtFirst(1, false)
	w := build(t, serveRPC(t, s), toRPC(func(p *policy.Settings) {
		retryStatuses(unavailable)(p)
		p.Retry.Idempotency = policy.IdempotentOrKeyed
	}))
	c := w.clientRPC()
	if code, _ := unaryCall(t, c, metadata.AppendToOutgoingContext(bound(t), "idempotency-key", "k")); code != codes.OK {
		t.Errorf("with a key: %v", code)
	}
	s.calls.Store(0)
	if code, _ := unaryCall(t, c, bound(t)); code != codes.Unavailable {
		t.Errorf("without: %v", code)
	}
}

func TestRule11_NothingIsRetriedAfterAMessage(t *testing.T) {
	s := &rpcServer{output: func(n int, _ *rpc.StreamingOutputCallRequest, to rpc.TestService_StreamingOutputCallServer) error {
		if n == 1 { // no message: another attempt follows
			return rpcstatus.Error(codes.Unavailable, "at once")
		}
		_ = to.Send(&rpc.StreamingOutputCallResponse{})
		return rpcstatus.Error(codes.Unavailable, "later")
	}}
	w := build(t, serveRPC(t, s), toRPC(retryStatuses(unavailable)))
	to, err := w.clientRPC().StreamingOutputCall(bound(t), &rpc.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Recv(); rpcstatus.Convert(err).Message() != "later" {
		t.Errorf("it ends with %v", err)
	}
	if o := w.seen.lastCall(t).Outcome; s.calls.Load() != 2 || o.Decision != call.NotRetryable || o.GRPCStatus != int(codes.Unavailable) {
		t.Errorf("%d attempts, %+v", s.calls.Load(), o)
	}
}

// A head without a message is not kept back for long: clients of streams may wait for it alone.
func TestAHeadWithoutAMessageArrives(t *testing.T) {
	release := make(chan struct{})
	s := &rpcServer{output: func(_ int, _ *rpc.StreamingOutputCallRequest, to rpc.TestService_StreamingOutputCallServer) error {
		_ = to.SendHeader(metadata.Pairs("subscribed", "yes"))
		<-release
		return rpcstatus.Error(codes.Unavailable, "over")
	}}
	w := build(t, serveRPC(t, s), toRPC(retryStatuses(unavailable)))
	to, err := w.clientRPC().StreamingOutputCall(bound(t), &rpc.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	head, err := to.Header()
	if d := cmp.Diff([]string{"yes"}, head.Get("subscribed")); err != nil || d != "" {
		t.Errorf("%v, %v", err, head)
	}
	close(release)
	if _, err := to.Recv(); rpcstatus.Code(err) != codes.Unavailable || s.calls.Load() != 1 {
		t.Errorf("%v after %d attempts", err, s.calls.Load())
	}
}

// Servers put their trailers where they like; what counts is that no message came.
func TestRule09_AnyServersTrailersAreRead(t *testing.T) {
	head := http2test.F(":status", "200", "content-type", "application/grpc")
	ends := http2test.F("grpc-status", "14", "grpc-message", "busy")
	for name, script := range map[string]func(*http2test.Stream){
		"trailers-only":     func(s *http2test.Stream) { _ = s.Headers(true, append(head[:2:2], ends...)) },
		"head and trailers": func(s *http2test.Stream) { _ = s.Headers(false, head); _ = s.Headers(true, ends) },
		"an empty piece of a body": func(s *http2test.Stream) {
			_ = s.Headers(false, head)
			_ = s.Data(nil, false)
			_ = s.Headers(true, ends)
		},
		"a proxy's answer":        func(s *http2test.Stream) { _ = s.Respond(503, []byte("busy"), nil) },
		"no trailers":             func(s *http2test.Stream) { _ = s.Headers(false, head); _ = s.Data(nil, true) },
		"a reset behind the head": func(s *http2test.Stream) { _ = s.Headers(false, head); _ = s.Reset(2) },
	} {
		t.Run(name, func(t *testing.T) {
			var n counter
			up := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
				if _, err := s.Body(); err != nil {
					return
				}
				if n.next() == 1 {
					script(s)
					return
				}
				_ = s.Headers(false, head)
				_ = s.Data([]byte{0, 0, 0, 0, 0}, false)
				_ = s.Headers(true, http2test.F("grpc-status", "0"))
			}})
			w := build(t, up.Addr(), toRPC(func(s *policy.Settings) {
				retryStatuses(unavailable, policy.GRPCStatus(codes.Internal))(s)
				s.Retry.On = policy.Of(policy.Reset)
			}))
			if code, _ := unaryCall(t, w.clientRPC(), bound(t)); code != codes.OK || n.value() != 2 {
				t.Errorf("%v after %d attempts", code, n.value())
			}
		})
	}
}

// counter counts, from any goroutine.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *counter) value() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// A call that the server has provably not processed is repeated whatever the policy says of its method, with its messages.
//
//overtls:originate,intercept
func TestRule07_RefusedCallsAreRepeated(t *testing.T) {
	for name, script := range map[string]func(*http2test.Stream){
		"REFUSED_STREAM": func(s *http2test.Stream) { _, _ = s.Body(); _ = s.Reset(7) },
		"GOAWAY":         func(s *http2test.Stream) { _, _ = s.Body(); _ = s.Conn.GoAway(0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			var n counter
			var bodies [][]byte
			up := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
				if n.next() == 1 {
					script(s)
					return
				}
				b, err := s.Body()
				if err != nil {
					return
				}
				bodies = append(bodies, b)
				_ = s.Headers(false, http2test.F(":status", "200", "content-type", "application/grpc"))
				_ = s.Data([]byte{0, 0, 0, 0, 0}, false)
				_ = s.Headers(true, http2test.F("grpc-status", "0"))
			}})
			w := build(t, up.Addr(), toRPC(func(s *policy.Settings) { s.Retry.Idempotency = policy.SafeMethods }))
			res, err := w.clientRPC().UnaryCall(bound(t), &rpc.SimpleRequest{FillUsername: true, Payload: payload(4096)})
			if err != nil || n.value() != 2 || len(bodies[0]) < 4096 {
				t.Errorf("%v, %v after %d attempts", res, err, n.value())
			}
		})
	}
}

//enforces:grpc retry.retryAfter.honor retry.retryAfter.max
func TestRule14_PushbackIsObeyed(t *testing.T) {
	for name, tc := range map[string]struct {
		pushback []string
		change   func(*policy.Settings)
		want     codes.Code
		decision call.RetryDecision
		least    time.Duration
	}{
		"a wait":          {[]string{"80"}, nil, codes.OK, call.Recovered, 80 * time.Millisecond},
		"at once":         {[]string{"0"}, nil, codes.OK, call.Recovered, 0},
		"never":           {[]string{"-1"}, nil, codes.Unavailable, call.NotRetryable, 0},
		"malformed":       {[]string{"soon"}, nil, codes.Unavailable, call.NotRetryable, 0},
		"contradictory":   {[]string{"0", "0"}, nil, codes.Unavailable, call.NotRetryable, 0},
		"beyond the most": {[]string{"80"}, func(s *policy.Settings) { s.Retry.RetryAfter.Max = 79 * time.Millisecond }, codes.Unavailable, call.ByDeadline, 0},
		"not honoured":    {[]string{"-1"}, func(s *policy.Settings) { s.Retry.RetryAfter.Honor = false }, codes.OK, call.Recovered, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var first, second time.Time
			s := unaryServer(func(ctx context.Context, n int) error {
				if n > 1 {
					second = time.Now()
					return nil
				}
				first = time.Now()
				for _, v := range tc.pushback {
					_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", v))
				}
				return rpcstatus.Error(codes.Unavailable, "")
			})
			w := build(t, serveRPC(t, s), toRPC(func(p *policy.Settings) {
				retryStatuses(unavailable)(p)
				if tc.change != nil {
					tc.change(p)
				}
			}))
			code, _ := unaryCall(t, w.clientRPC(), bound(t))
			if d := w.seen.lastCall(t).Outcome.Decision; code != tc.want || d != tc.decision {
				t.Errorf("%v, %v; want %v, %v", code, d, tc.want, tc.decision)
			}
			if waited := second.Sub(first); tc.want == codes.OK && waited < tc.least {
				t.Errorf("the retry comes after %v, want %v at least", waited, tc.least)
			}
		})
	}
}

// Servers hear how many attempts came before, those of the client included.
func TestEarlierAttemptsAreCounted(t *testing.T) {
	var heard [][]string
	s := unaryServer(func(ctx context.Context, n int) error {
		in, _ := metadata.FromIncomingContext(ctx)
		heard = append(heard, in.Get("grpc-previous-rpc-attempts"))
		if n%3 != 0 {
			return rpcstatus.Error(codes.Unavailable, "")
		}
		return nil
	})
	w := build(t, serveRPC(t, s), toRPC(retryStatuses(unavailable)))
	c := w.clientRPC()
	if code, _ := unaryCall(t, c, bound(t)); code != codes.OK {
		t.Fatal(code)
	}
	if code, _ := unaryCall(t, c, metadata.AppendToOutgoingContext(bound(t), "grpc-previous-rpc-attempts", "4")); code != codes.OK {
		t.Fatal(code)
	}
	want := [][]string{nil, {"1"}, {"2"}, {"4"}, {"5"}, {"6"}}
	if d := cmp.Diff(want, heard); d != "" {
		t.Error(d)
	}
}

// A bidirectional stream whose server refuses it at once ends at once, while the client may still send.
func TestRule20_ARefusedStreamEndsAtOnce(t *testing.T) {
	s := &rpcServer{duplex: func(rpc.TestService_FullDuplexCallServer) error { return rpcstatus.Error(codes.Unavailable, "no") }}
	w := build(t, serveRPC(t, s), toRPC(retryStatuses(unavailable)))
	to, err := w.clientRPC().FullDuplexCall(bound(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Send(&rpc.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := to.Recv(); rpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if o := w.seen.lastCall(t).Outcome; o.Decision != call.ByBody || s.calls.Load() != 1 {
		t.Errorf("%+v after %d attempts", o, s.calls.Load())
	}
}
