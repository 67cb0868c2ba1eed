package proxy

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/policy"
)

//enforces:grpc observability.tracing.samplePercent
func TestGRPCCallsAreTraced(t *testing.T) {
	for name, tc := range traceCases {
		t.Run(name, func(t *testing.T) {
			var seen contexts
			s := unaryServer(func(ctx context.Context, n int) error {
				in, _ := metadata.FromIncomingContext(ctx)
				seen.add(map[string][]string{"Traceparent": in.Get("traceparent"), "Tracestate": in.Get("tracestate")})
				if n < 3 {
					return rpcstatus.Error(codes.Unavailable, "")
				}
				return nil
			})
			w := build(t, serveRPC(t, s), toRPC(func(s *policy.Settings) {
				tracing(tc.percent)(s)
				retryStatuses(unavailable)(s)
			}))
			spans := collect(t, w)
			ctx := bound(t)
			if tc.given != (said{}) {
				ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", tc.given.parent, "tracestate", tc.given.state)
			}
			if code, _ := unaryCall(t, w.clientRPC(), ctx); code != codes.OK {
				t.Fatal(code)
			}
			list := spans.after(1)
			checkContexts(t, tc.given, tc.trace, seen.all(), list)
			for i, a := range attributesOf(list) {
				failed := i == 1 || i == 2
				want := map[string]any{"rpc.system.name": "grpc", "rpc.method": "grpc.testing.TestService/UnaryCall", "rpc.response.status_code": "OK", "failed": false}
				if failed {
					want["rpc.response.status_code"], want["failed"], want["error.type"] = "UNAVAILABLE", true, "UNAVAILABLE"
				}
				for k, v := range a {
					if _, said := want[k]; !said && !strings.HasPrefix(k, "rpc.") && !strings.HasPrefix(k, "http.") {
						want[k] = v
					}
				}
				if d := cmp.Diff(want, a); d != "" {
					t.Errorf("span %d: %s", i, d)
				}
			}
		})
	}
}
