package proxy

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// Attempts of gRPC calls are numbered beside what gRPC says itself, be it that a call has arrived with that alone.
//
//enforces:grpc observability.requestHeaders.attempt
func TestAttemptsOfGRPCCallsAreNumbered(t *testing.T) {
	for name, tc := range map[string]struct {
		given []string
		want  [][]string
	}{
		"a call":                 {nil, [][]string{{"1"}, {"2;reason=upstream_failure"}, {"3;reason=upstream_failure"}}},
		"a retry":                {[]string{"fairlead-attempt", "2"}, [][]string{{"2"}, {"3;reason=upstream_failure"}, {"4;reason=upstream_failure"}}},
		"a retry as gRPC has it": {[]string{"grpc-previous-rpc-attempts", "4"}, [][]string{{"5"}, {"6;reason=upstream_failure"}, {"7;reason=upstream_failure"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var heard [][]string
			s := unaryServer(func(ctx context.Context, n int) error {
				in, _ := metadata.FromIncomingContext(ctx)
				heard = append(heard, in.Get("fairlead-attempt"))
				if n < 3 {
					return rpcstatus.Error(codes.Unavailable, "")
				}
				return nil
			})
			w := build(t, serveRPC(t, s), toRPC(func(s *policy.Settings) {
				retryStatuses(unavailable)(s)
				s.AttemptHeader = true
			}))
			if code, _ := unaryCall(t, w.clientRPC(), metadata.AppendToOutgoingContext(bound(t), tc.given...)); code != codes.OK {
				t.Fatal(code)
			}
			if d := cmp.Diff(tc.want, heard); d != "" {
				t.Error(d)
			}
		})
	}
}

//enforces:grpc retry.alreadyRetried
func TestGRPCCallsThatArriveAsARetryAreNotRetried(t *testing.T) {
	for name, tc := range map[string]struct {
		given    []string
		want     int64
		decision call.RetryDecision
	}{
		"unmarked":                    {nil, 3, call.Exhausted},
		"a retry":                     {[]string{"fairlead-attempt", "2"}, 1, call.AlreadyRetried},
		"a retry as gRPC has it":      {[]string{"grpc-previous-rpc-attempts", "1"}, 1, call.AlreadyRetried},
		"none as gRPC has it":         {[]string{"grpc-previous-rpc-attempts", "0"}, 3, call.Exhausted},
		"what gRPC has no number for": {[]string{"grpc-previous-rpc-attempts", "-1"}, 3, call.Exhausted},
	} {
		t.Run(name, func(t *testing.T) {
			s := failing(codes.Unavailable)
			w := build(t, serveRPC(t, s), toRPC(func(s *policy.Settings) {
				retryStatuses(unavailable)(s)
				s.Retry.SkipRetried = true
			}))
			unaryCall(t, w.clientRPC(), metadata.AppendToOutgoingContext(bound(t), tc.given...))
			if e := w.seen.lastCall(t); int64(len(e.Attempts)) != tc.want || s.calls.Load() != tc.want || e.Outcome.Decision != tc.decision {
				t.Errorf("%d attempts, %v; want %d, %v", s.calls.Load(), e.Outcome.Decision, tc.want, tc.decision)
			}
		})
	}
}
