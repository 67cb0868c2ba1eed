package proxy

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/policy"
)

// failing fails every call with a status.
func failing(code codes.Code) *rpcServer {
	return unaryServer(func(context.Context, int) error { return rpcstatus.Error(code, "") })
}

//enforces:grpc retry.grpcStatuses retry.overrides[].grpcStatuses retry.overrides[].maxRetries
func TestRule09_GRPCFieldsDecideOnRetries(t *testing.T) {
	w := build(t, serveRPC(t, failing(codes.Unavailable)), toRPC(retryStatuses(unavailable)))
	if unaryCall(t, w.clientRPC(), bound(t)); len(w.seen.lastCall(t).Attempts) != 3 {
		t.Errorf("a status that is listed: %d attempts, want 3", len(w.seen.lastCall(t).Attempts))
	}
	w = build(t, serveRPC(t, failing(codes.Aborted)), toRPC(func(s *policy.Settings) {
		s.Retry.Overrides = []policy.RetryOverride{
			{GRPCStatuses: []policy.GRPCStatus{policy.GRPCStatus(codes.Aborted)}, MaxRetries: 1, Backoff: s.Retry.Backoff},
		}
	}))
	if unaryCall(t, w.clientRPC(), bound(t)); len(w.seen.lastCall(t).Attempts) != 2 {
		t.Errorf("a status of an override: %d attempts, want 2", len(w.seen.lastCall(t).Attempts))
	}
}

//enforces:grpc circuitBreaker.failures.grpcStatuses
func TestRule22_GRPCFieldsDecideOnOpening(t *testing.T) {
	// Some status that does not count by itself, and one that does.
	for code, opens := range map[codes.Code]bool{codes.ResourceExhausted: true, codes.Unavailable: false} {
		w := build(t, serveRPC(t, failing(code)), toRPC(guarded(func(b *policy.Breaker) {
			b.ConsecutiveFailures, b.FailureGRPC = 1, []policy.GRPCStatus{policy.GRPCStatus(codes.ResourceExhausted)}
		})))
		c := w.clientRPC()
		unaryCall(t, c, bound(t))
		w.seen.lastCall(t)
		if _, trailer := unaryCall(t, c, bound(t)); (reasonOf(trailer) == "circuit_open") != opens {
			t.Errorf("%v opens the circuit: %v", code, !opens)
		}
	}
}

// A gRPC call that takes long or fails counts as other calls do.
//
//enforces:grpc circuitBreaker.consecutiveFailures
//enforces:grpc circuitBreaker.errorRate.percent circuitBreaker.errorRate.minimumRequests circuitBreaker.errorRate.window
//enforces:grpc circuitBreaker.slowCalls.threshold circuitBreaker.slowCalls.percent circuitBreaker.slowCalls.minimumRequests
//enforces:grpc circuitBreaker.slowCalls.window
func TestRule22_EveryFieldDecidesOnOpeningOverGRPC(t *testing.T) {
	for name, tc := range breakerCases() {
		if slices.ContainsFunc(tc.calls, func(path string) bool { return !slices.Contains([]string{"/", "/500", "/late"}, path) }) {
			continue // by a status of HTTP
		}
		t.Run(name, func(t *testing.T) {
			w := build(t, serveRPC(t, unaryServer(func(_ context.Context, n int) error {
				if n > len(tc.calls) {
					return nil
				}
				if statusFor(tc.calls[n-1]) == 500 {
					return rpcstatus.Error(codes.Unavailable, "")
				}
				return nil
			})), toRPC(guarded(tc.set)))
			c, pause := w.clientRPC(), time.NewTimer(0)
			<-pause.C
			for i := range tc.calls {
				if i > 0 {
					pause.Reset(tc.pause)
					<-pause.C
				}
				if _, trailer := unaryCall(t, c, bound(t)); reasonOf(trailer) != "" {
					t.Fatalf("call %d was rejected", i)
				}
				w.seen.await(t, i+1)
			}
			pause.Reset(tc.pause)
			<-pause.C
			if _, trailer := unaryCall(t, c, bound(t)); (reasonOf(trailer) == "circuit_open") != tc.opens {
				t.Errorf("the next call was rejected: %v, want %v", !tc.opens, tc.opens)
			}
		})
	}
}

//enforces:grpc rules[].match[].grpc.service rules[].match[].grpc.method
func TestGRPCCallsFindTheirRule(t *testing.T) {
	const this = "grpc.testing.TestService"
	b := toRPC(retryStatuses(unavailable))
	for _, path := range []string{"other.Service/UnaryCall", this + "/Other", "grpc.testing.TestService2/*", "*/unarycall", this + "/UnaryCall"} {
		once := b.Base
		once.Retry.MaxRetries = 0
		b.Rules = append(b.Rules, policy.Rule{Name: path, Settings: once, Match: []policy.RequestMatch{{PathType: policy.PathGRPC, Path: path}}})
	}
	w := build(t, serveRPC(t, failing(codes.Unavailable)), b)
	unaryCall(t, w.clientRPC(), bound(t))
	if e := w.seen.lastCall(t); e.Rule != this+"/UnaryCall" || len(e.Attempts) != 1 {
		t.Errorf("governed by rule %q, %d attempts", e.Rule, len(e.Attempts))
	}
	b.Rules = b.Rules[:4]
	w = build(t, serveRPC(t, failing(codes.Unavailable)), b)
	unaryCall(t, w.clientRPC(), bound(t))
	if e := w.seen.lastCall(t); e.Rule != "" || len(e.Attempts) != 3 {
		t.Errorf("governed by rule %q, %d attempts", e.Rule, len(e.Attempts))
	}
	b.Rules = []policy.Rule{{Name: "any", Settings: b.Base, Match: []policy.RequestMatch{{PathType: policy.PathGRPC, Path: this + "/*"}}}}
	w = build(t, serveRPC(t, echoRPC()), b)
	if _, err := w.clientRPC().EmptyCall(bound(t), &rpc.Empty{}); rpcstatus.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}
	if e := w.seen.lastCall(t); e.Rule != "any" {
		t.Errorf("governed by rule %q", e.Rule)
	}
	// The same request without gRPC's content type is another one.
	do(t, w.clientH2(), "POST", "/"+this+"/EmptyCall", "x")
	w.waitFor(t, func() bool { return w.seen.lastCall(t).Rule == "" })
}
