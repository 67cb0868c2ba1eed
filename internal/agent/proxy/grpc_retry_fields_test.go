package proxy

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// Each field decides how often a gRPC call is tried whose server is unavailable, and asks for no wait.
//
//enforces:grpc retry.maxRetries retry.when retry.overrides[].when retry.idempotency.keyHeader
//enforces:grpc retry.budget.percent retry.budget.minRetriesPerSecond
func TestRule09_EveryFieldDecidesOnRetriesOverGRPC(t *testing.T) {
	pushback := policy.Of(policy.RetryAfterPresent)
	statuses := []policy.GRPCStatus{unavailable}
	for name, tc := range map[string]struct {
		set   func(*policy.Retry)
		calls int // 1 if 0
		want  int64
	}{
		"maxRetries": {set: func(r *policy.Retry) { r.GRPCStatuses, r.MaxRetries = statuses, 4 }, want: 5},
		"when":       {set: func(r *policy.Retry) { r.On = pushback }, want: 3},
		"an override's when": {
			set: func(r *policy.Retry) {
				r.Overrides = []policy.RetryOverride{{On: pushback, MaxRetries: 5, Backoff: r.Backoff}}
			},
			want: 6,
		},
		"a key of another name": {
			set: func(r *policy.Retry) {
				r.GRPCStatuses, r.Idempotency, r.KeyHeader = statuses, policy.IdempotentOrKeyed, "X-Key"
			},
			want: 3,
		},
		"no budget": {
			set:   func(r *policy.Retry) { r.GRPCStatuses, r.Budget = statuses, policy.Budget{Window: 10 * time.Second} },
			calls: 20, want: 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := unaryServer(func(ctx context.Context, _ int) error {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "0"))
				return rpcstatus.Error(codes.Unavailable, "")
			})
			w := buildH2(t, serveRPC(t, srv), toRPC(func(s *policy.Settings) { tc.set(&s.Retry) }))
			c := w.clientRPC()
			for range max(tc.calls, 1) {
				if code, trailer := unaryCall(t, c, metadata.AppendToOutgoingContext(bound(t), "x-key", "k")); code != codes.Unavailable || reasonOf(trailer) != "" {
					t.Errorf("got %v, %v", code, trailer)
				}
			}
			if n := srv.calls.Load(); n != tc.want {
				t.Errorf("%d attempts, want %d", n, tc.want)
			}
		})
	}
}

// What is not gRPC's answers a gRPC call as it answers others: what stands between agent and server speaks HTTP.
//
//enforces:grpc retry.statusCodes retry.responseHeaders[].name retry.responseHeaders[].value retry.overrides[].statusCodes
func TestRule09_AnswersOfHTTPDecideOnRetriesOfGRPC(t *testing.T) {
	for name, tc := range retryCases() {
		t.Run(name, func(t *testing.T) {
			tc.request = aPOST
			b := toRPC(func(s *policy.Settings) { tc.set(&s.Retry) })
			tc.triesOverHTTP2(t, b, http2test.F("content-type", "application/grpc", "te", "trailers"))
		})
	}
}

// placedForRPC puts a backoff for unavailable servers where one can stand.
func placedForRPC() map[string]func(*policy.Retry, policy.Backoff) {
	statuses := []policy.GRPCStatus{unavailable}
	return map[string]func(*policy.Retry, policy.Backoff){
		"retry": func(r *policy.Retry, b policy.Backoff) { r.GRPCStatuses, r.Backoff = statuses, b },
		"an override": func(r *policy.Retry, b policy.Backoff) {
			r.Overrides = []policy.RetryOverride{{GRPCStatuses: statuses, MaxRetries: 3, Backoff: b}}
		},
	}
}

//enforces:grpc retry.backoff.strategy retry.backoff.initialInterval retry.backoff.maxInterval retry.backoff.multiplier
//enforces:grpc retry.overrides[].backoff.strategy retry.overrides[].backoff.initialInterval retry.overrides[].backoff.maxInterval
//enforces:grpc retry.overrides[].backoff.multiplier
func TestRule15_WaitsGrowAsWrittenOverGRPC(t *testing.T) {
	for name, tc := range growing {
		for place, put := range placedForRPC() {
			t.Run(name+"/"+place, func(t *testing.T) {
				srv := failing(codes.Unavailable)
				w := buildH2(t, serveRPC(t, srv), toRPC(func(s *policy.Settings) {
					b := tc.backoff
					b.Jitter = policy.JitterNone
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, time.Minute
					put(&s.Retry, b)
				}))
				unaryCall(t, w.clientRPC(), t.Context()) // whose own deadline bounds no wait
				if n := srv.calls.Load(); n != tc.want {
					t.Errorf("%d attempts, want %d", n, tc.want)
				}
			})
		}
	}
}

//enforces:grpc retry.backoff.jitter retry.backoff.jitterPercent retry.overrides[].backoff.jitter retry.overrides[].backoff.jitterPercent
func TestRule15_WaitsAreDrawnAsWrittenOverGRPC(t *testing.T) {
	for name, tc := range drawn {
		for place, put := range placedForRPC() {
			t.Run(name+"/"+place, func(t *testing.T) {
				srv := failing(codes.Unavailable)
				w := buildH2(t, serveRPC(t, srv), toRPC(func(s *policy.Settings) {
					b := tc.backoff
					b.Strategy, b.Max = policy.Fixed, b.Initial
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, drawnWithin
					put(&s.Retry, b)
				}))
				c, again := w.clientRPC(), false
				for i := int64(1); i <= 40 && !again; i++ {
					unaryCall(t, c, bound(t))
					again = srv.calls.Load() > i
				}
				if again != tc.fits {
					t.Errorf("a call was attempted again: %v", again)
				}
			})
		}
	}
}

//enforces:grpc retry.budget.window
func TestRule13_OldCallsAreNotInTheBudgetOverGRPC(t *testing.T) {
	w, h := holdingRPC(t, func(s *policy.Settings) {
		retryStatuses(unavailable)(s)
		s.Retry.Budget = policy.Budget{Percent: 20, Window: 20 * time.Millisecond}
	})
	c := w.clientRPC()
	for range 9 {
		endRPC(t, c, "")
	}
	waitFor(waitPath(50 * time.Millisecond))
	endRPC(t, c, toFail)
	if n := h.calls.Load(); n != 10 {
		t.Errorf("%d attempts for 10 calls: one retry of 10 was allowed though the first 9 are long ago", n)
	}
}

//enforces:grpc retry.idempotency.generateKey
func TestRule16_AGeneratedKeyIsTheSameOnEveryAttemptOverGRPC(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	w := buildH2(t, serveRPC(t, unaryServer(func(ctx context.Context, n int) error {
		in, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, in.Get("idempotency-key")...)
		if n%2 == 1 {
			return rpcstatus.Error(codes.Unavailable, "")
		}
		return nil
	})), toRPC(func(s *policy.Settings) {
		retryStatuses(unavailable)(s)
		s.Retry.Idempotency, s.Retry.GenerateKey = policy.IdempotentOrKeyed, true
	}))
	c := w.clientRPC()
	for range 2 {
		if code, _ := unaryCall(t, c, bound(t)); code != codes.OK {
			t.Fatalf("got %v", code)
		}
	}
	if len(keys) != 4 || keys[0] != keys[1] || keys[2] != keys[3] || keys[0] == keys[2] || len(keys[0]) != 36 {
		t.Errorf("keys %q", keys)
	}
}

//enforces:grpc retry.body.maxBytes
func TestRule18_ALargeMessageIsNotSentAgain(t *testing.T) {
	srv := failing(codes.Unavailable)
	w := buildH2(t, serveRPC(t, srv), toRPC(func(s *policy.Settings) {
		retryStatuses(unavailable)(s)
		s.Retry.BodyMaxBytes = 4 << 10
	}))
	_, err := w.clientRPC().UnaryCall(bound(t), &rpc.SimpleRequest{Payload: payload(16 << 10)})
	if rpcstatus.Code(err) != codes.Unavailable || srv.calls.Load() != 1 {
		t.Errorf("%v after %d attempts", err, srv.calls.Load())
	}
	if o := w.seen.lastCall(t).Outcome; o.Decision != call.ByBody {
		t.Errorf("outcome %+v", o)
	}
}

// countedRPC are gRPC servers that answer with a status and count the calls.
func countedRPC(t *testing.T, n []atomic.Int64, code codes.Code) (endpoints []netip.AddrPort) {
	t.Helper()
	for i := range n {
		endpoints = append(endpoints, serveRPC(t, unaryServer(func(context.Context, int) error {
			n[i].Add(1)
			return rpcstatus.Error(code, "")
		})))
	}
	return endpoints
}

//enforces:grpc retry.avoidPreviousEndpoints
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestARetryAvoidsEndpointsUnlessWrittenOverGRPC(t *testing.T) {
	for name, avoid := range map[string]bool{"avoid": true, "do not": false} {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, 2)
			endpoints := countedRPC(t, n, codes.Unavailable)
			w := build(t, endpoints[0])
			w.shopOf(policy.ProtocolGRPC, func(s *policy.Settings) {
				retryStatuses(unavailable)(s)
				s.Retry.Idempotency, s.Retry.MaxRetries, s.Retry.AvoidPreviousEndpoints = policy.AnyMethod, 1, avoid
				s.LoadBalancing = policy.RandomEndpoint
			}, endpoints...)
			c := w.clientRPC()
			apart := true
			for range 60 {
				unaryCall(t, c, bound(t))
				apart = apart && n[0].Swap(0) == 1 && n[1].Swap(0) == 1
			}
			if apart != avoid {
				t.Errorf("the attempts of each call went to different endpoints: %v, want %v", apart, avoid)
			}
		})
	}
}

// Each gRPC call goes where the policy says, though all are of one client connection.
//
//enforces:grpc loadBalancing.policy
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestCallsAreBalancedAsWrittenOverGRPC(t *testing.T) {
	for name, tc := range map[string]struct {
		policy policy.LoadBalancing
		want   [3]int64
	}{
		"in turn":              {policy.RoundRobin, [3]int64{20, 20, 20}},
		"as the cluster leads": {policy.ClusterIP, [3]int64{60, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, 3)
			endpoints := countedRPC(t, n, codes.OK)
			w := build(t, endpoints[0]) // stands for the cluster IP
			w.shopOf(policy.ProtocolGRPC, func(s *policy.Settings) { s.LoadBalancing = tc.policy }, endpoints...)
			c := w.clientRPC()
			for range 60 {
				unaryCall(t, c, bound(t))
			}
			if got := [3]int64{n[0].Load(), n[1].Load(), n[2].Load()}; got != tc.want {
				t.Errorf("the endpoints got %v, want %v", got, tc.want)
			}
		})
	}
}
