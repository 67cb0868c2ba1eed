package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/policy"
)

// rpcServer is a gRPC server whose answers are the test's own.
type rpcServer struct {
	rpc.UnimplementedTestServiceServer

	calls  atomic.Int64 // that have come
	unary  func(ctx context.Context, n int, q *rpc.SimpleRequest) (*rpc.SimpleResponse, error)
	output func(n int, q *rpc.StreamingOutputCallRequest, s rpc.TestService_StreamingOutputCallServer) error
	input  func(s rpc.TestService_StreamingInputCallServer) error
	duplex func(s rpc.TestService_FullDuplexCallServer) error
}

func (s *rpcServer) UnaryCall(ctx context.Context, q *rpc.SimpleRequest) (*rpc.SimpleResponse, error) {
	return s.unary(ctx, int(s.calls.Add(1)), q)
}

func (s *rpcServer) StreamingOutputCall(q *rpc.StreamingOutputCallRequest, to rpc.TestService_StreamingOutputCallServer) error {
	return s.output(int(s.calls.Add(1)), q, to)
}

func (s *rpcServer) StreamingInputCall(from rpc.TestService_StreamingInputCallServer) error {
	s.calls.Add(1)
	return s.input(from)
}

func (s *rpcServer) FullDuplexCall(to rpc.TestService_FullDuplexCallServer) error {
	s.calls.Add(1)
	return s.duplex(to)
}

// unaryServer answers unary calls.
func unaryServer(f func(ctx context.Context, n int) error) *rpcServer {
	return &rpcServer{unary: func(ctx context.Context, n int, q *rpc.SimpleRequest) (*rpc.SimpleResponse, error) {
		if err := f(ctx, n); err != nil {
			return nil, err
		}
		return &rpc.SimpleResponse{Payload: q.GetPayload()}, nil
	}}
}

// serveRPC starts a gRPC server, with options of its own if it has any.
func serveRPC(t testing.TB, s rpc.TestServiceServer, register ...func(*grpc.Server)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var o []grpc.ServerOption
	if own, ok := s.(interface{ options() []grpc.ServerOption }); ok {
		o = own.options()
	}
	g := grpc.NewServer(o...)
	rpc.RegisterTestServiceServer(g, s)
	for _, f := range register {
		f(g)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(overListener{l}) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

// connRPC is a connection of a gRPC client to the proxy. The client retries nothing by itself.
func (w *testProxy) connRPC() *grpc.ClientConn {
	w.t.Helper()
	c, err := grpc.NewClient("passthrough:///up.example", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.dialing(ctx, "", "") }))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *testProxy) clientRPC() rpc.TestServiceClient { return rpc.NewTestServiceClient(w.connRPC()) }

// bound is a context for calls that should be answered at once.
func bound(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// toRPC is a binding for gRPC calls, which may all be repeated; change may say otherwise.
func toRPC(change func(*policy.Settings)) policy.Binding {
	b := toAny(func(s *policy.Settings) {
		s.Retry.Idempotency = policy.AnyMethod
		if change != nil {
			change(s)
		}
	})
	b.To.Protocol = policy.ProtocolGRPC
	return b
}

// retryStatuses has calls repeated that end with one of some statuses of gRPC.
func retryStatuses(list ...policy.GRPCStatus) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Retry.GRPCStatuses = list }
}

const unavailable = policy.GRPCStatus(codes.Unavailable)

// unaryCall makes a call and returns its status and trailers.
func unaryCall(t testing.TB, c rpc.TestServiceClient, ctx context.Context, opts ...grpc.CallOption) (codes.Code, metadata.MD) {
	t.Helper()
	var trailer metadata.MD
	_, err := c.UnaryCall(ctx, &rpc.SimpleRequest{Payload: &rpc.Payload{Body: []byte("hello")}}, append(opts, grpc.Trailer(&trailer))...)
	return rpcstatus.Code(err), trailer
}

// reasonOf is why the agent has answered by itself; empty if it has not.
func reasonOf(md metadata.MD) string {
	if v := md.Get("fairlead-reason"); len(v) > 0 {
		return v[0]
	}
	return ""
}
