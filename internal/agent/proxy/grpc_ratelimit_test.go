package proxy

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// A gRPC call above the limit is answered RESOURCE_EXHAUSTED, with the time after which it would be let in.
//
//enforces:grpc rateLimit.requests rateLimit.per rateLimit.burst
func TestRule24_GRPCCallsAboveTheRateAreRejected(t *testing.T) {
	s := unaryServer(func(context.Context, int) error { return nil })
	w := build(t, serveRPC(t, s), toRPC(limited(perHour(2))))
	c := w.clientRPC()
	for i := range 2 {
		if _, err := c.UnaryCall(bound(t), &rpc.SimpleRequest{}); err != nil {
			t.Fatalf("call %d of the burst: %v", i, err)
		}
	}
	var trailer metadata.MD
	_, err := c.UnaryCall(bound(t), &rpc.SimpleRequest{}, grpc.Trailer(&trailer))
	if st := rpcstatus.Convert(err); st.Code() != codes.ResourceExhausted || st.Message() != "fairlead: rate_limited" {
		t.Errorf("got %v", err)
	}
	pushback := trailer.Get("grpc-retry-pushback-ms")
	if len(pushback) != 1 {
		t.Fatalf("trailers %v", trailer)
	}
	if n, err := strconv.Atoi(pushback[0]); err != nil || n < 3_500_000 || n > 3_600_000 {
		t.Errorf("pushback %v", pushback)
	}
	if n := s.calls.Load(); n != 2 {
		t.Errorf("%d calls at the server", n)
	}
}

//enforces:grpc rateLimit.onLimit rateLimit.maxWait
func TestRule24_GRPCCallsWaitForTheRate(t *testing.T) {
	const calls, every = 4, 10 * time.Millisecond
	w := build(t, serveRPC(t, unaryServer(func(context.Context, int) error { return nil })), toRPC(limited(policy.RateLimit{
		Requests: 1, Per: every, Burst: 1, Scope: policy.SharePod, MaxWait: time.Hour,
	})))
	c, began := w.clientRPC(), time.Now()
	for range calls {
		if _, err := c.UnaryCall(bound(t), &rpc.SimpleRequest{}); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took < (calls-1)*every {
		t.Errorf("%d calls started within %v", calls, took)
	}
}

// A call whose own time would be over is not kept waiting.
func TestRule05_AGRPCCallIsNotKeptWaitingBeyondItsOwnTime(t *testing.T) {
	l := perHour(1)
	l.MaxWait = 2 * time.Hour
	w := build(t, serveRPC(t, unaryServer(func(context.Context, int) error { return nil })), toRPC(limited(l)))
	c := w.clientRPC()
	for _, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
		if _, err := c.UnaryCall(bound(t), &rpc.SimpleRequest{}); rpcstatus.Code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

//enforces:grpc rateLimit.scope
func TestRule24_ARateOfGRPCCallsIsSharedAsWritten(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			l := perHour(1)
			l.Scope = scope
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toRPC(limited(l)))
			ask := func(uid string) http2test.Fields {
				c := n.dialH2(uid)
				_, head := statusOf(t, must(c.Post("up.example", "/s/m", nil, http2test.F("content-type", "application/grpc", "te", "trailers")))(t))
				return head
			}
			ask("other")
			if got := ask(pod).Get("grpc-status") == "8"; got != (scope == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}
