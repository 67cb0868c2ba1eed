package differential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
)

// rpcServer is a server of gRPC that does what the metadata of a call ask for, and notes what it sees.
type rpcServer struct {
	rpc.UnimplementedTestServiceServer
	r *run
}

// serveRPC has server i speak gRPC, and returns its end.
func (r *run) serveRPC(i int, o ...grpc.ServerOption) *grpc.Server {
	r.Helper()
	g := grpc.NewServer(append(o, grpc.MaxRecvMsgSize(16<<20))...)
	rpc.RegisterTestServiceServer(g, &rpcServer{r: r})
	states := health.NewServer()
	states.SetServingStatus("grpc.testing.TestService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(g, states)
	reflection.Register(g)
	l := securedListener{r.listen(i, serverPort), r}
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	r.atEnd(1, func() { g.Stop(); <-done })
	return g
}

// called notes a call and its metadata, and does what those ask for. An error ends the call.
func (s *rpcServer) called(ctx context.Context, method string) error {
	md, _ := metadata.FromIncomingContext(ctx)
	s.r.seen.note("server", "%s %s", method, shownMetadata(md))
	until, bounded := ctx.Deadline()
	s.r.seen.note("server", "deadline: %v, of more than a minute: %v", bounded, bounded && time.Until(until) > time.Minute)
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-head", "1", "x-head", "2", "x-head-bin", "\x00\x01\xfe"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-end", "1", "x-end-bin", "\xff\x00"))
	if onlyOf(md, "x-hang") != "" {
		s.r.mark("hanging")
		<-ctx.Done()
		s.r.seen.note("server", "the call is over") // its own timer may be faster than the client's end of the call
		s.r.mark("over")
		return status.FromContextError(ctx.Err()).Err()
	}
	return statusAsked(md)
}

// onlyOf is the only value of a key, or the first.
func onlyOf(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// statusAsked is the status that metadata ask for, with details.
func statusAsked(md metadata.MD) error {
	var code int
	if _, err := fmt.Sscan(onlyOf(md, "x-status"), &code); err != nil || code == 0 {
		return nil
	}
	st := status.New(codes.Code(code), "as asked: 100 % ümlaut\n")
	if onlyOf(md, "x-details") != "" {
		with, err := st.WithDetails(&rpc.SimpleRequest{Payload: rpcPayload(300)})
		if err != nil {
			return err
		}
		st = with
	}
	return st.Err()
}

// shownMetadata are metadata in the order of their names. What is the connection's or the library's own is left out.
func shownMetadata(md metadata.MD) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(md)) {
		if k != "user-agent" {
			out = append(out, fmt.Sprintf("%s=%q", k, md[k]))
		}
	}
	return strings.Join(out, " ")
}

// EmptyCall implements rpc.TestServiceServer.
func (s *rpcServer) EmptyCall(ctx context.Context, _ *rpc.Empty) (*rpc.Empty, error) {
	return &rpc.Empty{}, s.called(ctx, "EmptyCall")
}

// UnaryCall implements rpc.TestServiceServer.
func (s *rpcServer) UnaryCall(ctx context.Context, q *rpc.SimpleRequest) (*rpc.SimpleResponse, error) {
	if err := s.called(ctx, "UnaryCall"); err != nil {
		return nil, err
	}
	s.r.seen.note("server", "message %s", show(q.GetPayload().GetBody()))
	return &rpc.SimpleResponse{Payload: &rpc.Payload{Body: []byte(noise(int(q.GetResponseSize())))}}, nil
}

// StreamingOutputCall implements rpc.TestServiceServer.
func (s *rpcServer) StreamingOutputCall(q *rpc.StreamingOutputCallRequest, to grpc.ServerStreamingServer[rpc.StreamingOutputCallResponse]) error {
	for _, p := range q.GetResponseParameters() {
		if err := to.Send(&rpc.StreamingOutputCallResponse{Payload: &rpc.Payload{Body: []byte(noise(int(p.GetSize())))}}); err != nil {
			s.r.seen.note("server", "cannot send: %v", status.Code(err))
			s.r.mark("over")
			return err
		}
	}
	return s.called(to.Context(), "StreamingOutputCall")
}

// StreamingInputCall implements rpc.TestServiceServer.
func (s *rpcServer) StreamingInputCall(from grpc.ClientStreamingServer[rpc.StreamingInputCallRequest, rpc.StreamingInputCallResponse]) error {
	if err := s.called(from.Context(), "StreamingInputCall"); err != nil {
		return err
	}
	n := int32(0)
	for {
		q, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return from.SendAndClose(&rpc.StreamingInputCallResponse{AggregatedPayloadSize: n})
		}
		if err != nil {
			s.r.seen.note("server", "cannot hear: %v", status.Code(err))
			s.r.mark("over")
			return err
		}
		n += int32(len(q.GetPayload().GetBody()))
	}
}

// FullDuplexCall implements rpc.TestServiceServer.
func (s *rpcServer) FullDuplexCall(both grpc.BidiStreamingServer[rpc.StreamingOutputCallRequest, rpc.StreamingOutputCallResponse]) error {
	for {
		q, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return s.called(both.Context(), "FullDuplexCall")
		}
		if err != nil {
			s.r.seen.note("server", "cannot hear: %v", status.Code(err))
			s.r.mark("over")
			return err
		}
		if err := both.Send(&rpc.StreamingOutputCallResponse{Payload: q.GetPayload()}); err != nil {
			return err
		}
	}
}
