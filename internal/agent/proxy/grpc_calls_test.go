package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	rpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
)

func payload(n int) *rpc.Payload {
	return &rpc.Payload{Body: bytes.Repeat([]byte("0123456789abcdef"), n/16)}
}

// echoRPC gives back whatever it gets, in every kind of call, and the metadata too.
func echoRPC() *rpcServer {
	return &rpcServer{
		unary: func(ctx context.Context, _ int, q *rpc.SimpleRequest) (*rpc.SimpleResponse, error) {
			in, _ := metadata.FromIncomingContext(ctx)
			_ = grpc.SetHeader(ctx, metadata.Pairs("head-bin", in.Get("ask-bin")[0]))
			_ = grpc.SetTrailer(ctx, metadata.Pairs("tail", in.Get("ask")[0]))
			return &rpc.SimpleResponse{Payload: q.GetPayload()}, nil
		},
		output: func(_ int, q *rpc.StreamingOutputCallRequest, s rpc.TestService_StreamingOutputCallServer) error {
			for _, p := range q.GetResponseParameters() {
				if err := s.Send(&rpc.StreamingOutputCallResponse{Payload: payload(int(p.GetSize()))}); err != nil {
					return err
				}
			}
			return nil
		},
		input: func(s rpc.TestService_StreamingInputCallServer) error {
			sum := 0
			for {
				q, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return s.SendAndClose(&rpc.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
				}
				if err != nil {
					return err
				}
				sum += len(q.GetPayload().GetBody())
			}
		},
		duplex: func(s rpc.TestService_FullDuplexCallServer) error {
			for {
				q, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return rpcstatus.Error(codes.Aborted, "enough")
				}
				if err != nil {
					return err
				}
				if err := s.Send(&rpc.StreamingOutputCallResponse{Payload: q.GetPayload()}); err != nil {
					return err
				}
			}
		},
	}
}

func TestGRPCCallsOfEveryKind(t *testing.T) {
	const large = 1 << 20
	w := build(t, serveRPC(t, echoRPC()), toRPC(func(s *policy.Settings) { everything(s); retryStatuses(unavailable)(s) }))
	c, ctx := w.clientRPC(), bound(t)
	t.Run("unary, with metadata", func(t *testing.T) {
		var head, tail metadata.MD
		ctx := metadata.AppendToOutgoingContext(ctx, "ask", "a, b", "ask-bin", "\x00\xff")
		res, err := c.UnaryCall(ctx, &rpc.SimpleRequest{Payload: payload(large)}, grpc.Header(&head), grpc.Trailer(&tail))
		if err != nil || !proto.Equal(res.GetPayload(), payload(large)) {
			t.Fatalf("%v", err)
		}
		if d := cmp.Diff([]string{"\x00\xff"}, head.Get("head-bin")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"a, b"}, tail.Get("tail")); d != "" {
			t.Error(d)
		}
	})
	t.Run("a stream from the server", func(t *testing.T) {
		sizes := []int32{16, large, 0, 32}
		q := &rpc.StreamingOutputCallRequest{}
		for _, n := range sizes {
			q.ResponseParameters = append(q.ResponseParameters, &rpc.ResponseParameters{Size: n})
		}
		s, err := c.StreamingOutputCall(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range sizes {
			if m, err := s.Recv(); err != nil || len(m.GetPayload().GetBody()) != int(n) {
				t.Fatalf("%d bytes, %v; want %d", len(m.GetPayload().GetBody()), err, n)
			}
		}
		if _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("a stream from the client", func(t *testing.T) {
		s, err := c.StreamingInputCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := s.Send(&rpc.StreamingInputCallRequest{Payload: payload(large / 4)}); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := s.CloseAndRecv(); err != nil || m.GetAggregatedPayloadSize() != 5*large/4 {
			t.Errorf("%v, %v", m, err)
		}
	})
	t.Run("both ways, one after the other", func(t *testing.T) {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := s.Send(&rpc.StreamingOutputCallRequest{Payload: payload(16 << (i % 10))}); err != nil {
				t.Fatal(err)
			}
			if m, err := s.Recv(); err != nil || len(m.GetPayload().GetBody()) != 16<<(i%10) {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		_ = s.CloseSend()
		if _, err := s.Recv(); rpcstatus.Code(err) != codes.Aborted || rpcstatus.Convert(err).Message() != "enough" {
			t.Errorf("it ends with %v", err)
		}
		if e := w.seen.lastCall(t); !e.GRPC || e.Outcome.GRPCStatus != int(codes.Aborted) {
			t.Errorf("it is reported as %+v", e)
		}
	})
}

// Whatever a server says of a failure arrives, with every status.
func TestGRPCStatusesPass(t *testing.T) {
	w := build(t, serveRPC(t, &rpcServer{unary: func(_ context.Context, _ int, q *rpc.SimpleRequest) (*rpc.SimpleResponse, error) {
		s, _ := rpcstatus.New(codes.Code(q.GetResponseStatus().GetCode()), q.GetResponseStatus().GetMessage()).WithDetails(payload(16))
		return nil, s.Err()
	}}), toRPC(everything))
	c := w.clientRPC()
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		text := "a\tb\r\n100% ☺ " + code.String()
		_, err := c.UnaryCall(bound(t), &rpc.SimpleRequest{ResponseStatus: &rpc.EchoStatus{Code: int32(code), Message: text}})
		s := rpcstatus.Convert(err)
		if s.Code() != code || s.Message() != text || len(s.Details()) != 1 || !proto.Equal(s.Details()[0].(proto.Message), payload(16)) {
			t.Errorf("%v: %v, details %v", code, s, s.Details())
		}
	}
}

func TestHealthChecksAndReflectionPass(t *testing.T) {
	h := health.NewServer()
	w := build(t, serveRPC(t, echoRPC(), func(g *grpc.Server) { healthpb.RegisterHealthServer(g, h); reflection.Register(g) }), toRPC(everything))
	cc, ctx := w.connRPC(), bound(t)
	hc := healthpb.NewHealthClient(cc)
	if r, err := hc.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := hc.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"}); rpcstatus.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
	watch, err := hc.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
		if r, err := watch.Recv(); err != nil || r.GetStatus() != want {
			t.Fatalf("%v, %v; want %v", r, err, want)
		}
		h.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	}
	r, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	list, err := r.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	if !strings.Contains(strings.Join(names, " "), "grpc.testing.TestService") {
		t.Errorf("services %v", names)
	}
}

// gRPC-Web is HTTP/1.1 that any proxy carries: its trailers are the last part of the body.
func TestGRPCWebPasses(t *testing.T) {
	const trailers = "\x80\x00\x00\x00\x10grpc-status:14\r\n"
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			q, body, ok := p.request()
			if !ok {
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Type: " + q.Header.Get("Content-Type") + "\r\nTransfer-Encoding: chunked\r\n\r\n")
			p.send("5\r\n" + body + "\r\n15\r\n" + trailers + "\r\n0\r\n\r\n")
		}
	}), toAny(func(s *policy.Settings) { everything(s); retryStatuses(unavailable)(s) }))
	c := w.dial()
	c.send("POST /s/m HTTP/1.1\r\nHost: up.example\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00")
	res, body := c.response("POST")
	if want := "\x00\x00\x00\x00\x00" + trailers; res.Header.Get("Content-Type") != "application/grpc-web+proto" || body != want {
		t.Errorf("%v, %q", res.Header, body)
	}
	if e := w.seen.lastCall(t); e.GRPC || len(e.Attempts) != 1 {
		t.Errorf("%+v", e)
	}
}
