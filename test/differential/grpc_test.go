package differential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // by its name
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// rpcClient is a client of gRPC in the pod, with a connection of its own. It repeats nothing by itself.
type rpcClient struct {
	rpc.TestServiceClient
	*run
	conn *grpc.ClientConn
}

func (r *run) dialRPC() *rpcClient {
	r.Helper()
	c, err := grpc.NewClient("passthrough:///"+r.authority(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.connect(ctx) }))
	check(r, err)
	r.atEnd(0, func() { _ = c.Close() })
	return &rpcClient{rpc.NewTestServiceClient(c), r, c}
}

// asking are metadata that ask the server for something.
func (c *rpcClient) asking(pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(c.ctx, pairs...)
}

// ended notes how a call has ended.
func (c *rpcClient) ended(err error, head, trailer metadata.MD) {
	st := status.Convert(err)
	c.seen.note("client", "%v %q, %v", st.Code(), st.Message(), st.Details())
	c.seen.note("client", "head %s; trailers %s", shownMetadata(head), shownMetadata(trailer))
}

// unary makes a call.
func (c *rpcClient) unary(ctx context.Context, q *rpc.SimpleRequest, o ...grpc.CallOption) {
	var head, trailer metadata.MD
	res, err := c.UnaryCall(ctx, q, append(o, grpc.Header(&head), grpc.Trailer(&trailer))...)
	if err == nil {
		c.seen.note("client", "message %s", show(res.GetPayload().GetBody()))
	}
	c.ended(err, head, trailer)
}

func rpcPayload(n int) *rpc.Payload { return &rpc.Payload{Body: []byte(noise(n))} }

// overRPC is a scenario of a client of gRPC with the server above.
func overRPC(name string, play func(c *rpcClient)) scenario {
	return scenario{name: name, kinds: grpcKinds, play: func(r *run) {
		r.serveRPC(0)
		play(r.dialRPC())
	}}
}

func grpcScenarios() []scenario {
	list := []scenario{
		overRPC("unary", func(c *rpcClient) {
			for i := range 3 {
				c.unary(c.asking("x-mine", fmt.Sprint(i)), &rpc.SimpleRequest{Payload: rpcPayload(100), ResponseSize: 200})
			}
		}),
		overRPC("metadata", func(c *rpcClient) {
			c.unary(c.asking("x-a", "1", "x-a", "2", "x-raw-bin", "\x00\x01\xff,", "x-text", "a, b", "x-empty", ""), &rpc.SimpleRequest{})
		}),
		overRPC("large-messages", func(c *rpcClient) {
			c.unary(c.ctx, &rpc.SimpleRequest{Payload: rpcPayload(3 << 20), ResponseSize: 5 << 20})
		}).under(fewKinds...),
		overRPC("compressed-messages", func(c *rpcClient) {
			c.unary(c.ctx, &rpc.SimpleRequest{Payload: rpcPayload(50_000), ResponseSize: 50_000}, grpc.UseCompressor("gzip"))
		}),
		overRPC("statuses", func(c *rpcClient) {
			for code := codes.OK; code <= codes.Unauthenticated; code++ {
				c.unary(c.asking("x-status", fmt.Sprint(int(code))), &rpc.SimpleRequest{})
			}
		}),
		overRPC("a-status-with-details", func(c *rpcClient) {
			c.unary(c.asking("x-status", "9", "x-details", "yes"), &rpc.SimpleRequest{})
		}),
		overRPC("no-such-method", func(c *rpcClient) {
			_, err := c.UnimplementedCall(c.ctx, &rpc.Empty{})
			c.ended(err, nil, nil)
			_, err = rpc.NewUnimplementedServiceClient(c.conn).UnimplementedCall(c.ctx, &rpc.Empty{})
			c.ended(err, nil, nil)
		}),
		overRPC("health", func(c *rpcClient) {
			for _, name := range []string{"", "grpc.testing.TestService", "other"} {
				res, err := healthpb.NewHealthClient(c.conn).Check(c.ctx, &healthpb.HealthCheckRequest{Service: name})
				c.seen.note("client", "%q is %v", name, res.GetStatus())
				c.ended(err, nil, nil)
			}
			watch, err := healthpb.NewHealthClient(c.conn).Watch(c.ctx, &healthpb.HealthCheckRequest{})
			check(c, err)
			res, err := watch.Recv()
			c.seen.note("client", "watches %v, %v", res.GetStatus(), err)
		}),
		overRPC("reflection", func(c *rpcClient) {
			s, err := reflectionpb.NewServerReflectionClient(c.conn).ServerReflectionInfo(c.ctx)
			check(c, err)
			for _, q := range []*reflectionpb.ServerReflectionRequest{
				{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}},
				{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "grpc.testing.TestService"}},
			} {
				check(c, s.Send(q))
				res, err := s.Recv()
				c.seen.note("client", "%v, %d bytes of files, %v", res.GetListServicesResponse(), len(fmt.Sprint(res.GetFileDescriptorResponse())), err)
			}
			check(c, s.CloseSend())
			_, err = s.Recv()
			c.seen.note("client", "ends with %v", err)
		}),
		overRPC("deadline", func(c *rpcClient) {
			c.unary(c.ctx, &rpc.SimpleRequest{}) // connecting is no part of the time
			ctx, cancel := context.WithTimeout(c.asking("x-hang", "1"), 400*time.Millisecond)
			defer cancel()
			_, err := c.UnaryCall(ctx, &rpc.SimpleRequest{})
			c.seen.note("client", "%v", status.Code(err))
			c.after("over")
		}),
		overRPC("deadline-that-is-far", func(c *rpcClient) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), time.Hour)
			defer cancel()
			c.unary(ctx, &rpc.SimpleRequest{})
		}),
		overRPC("cancel", func(c *rpcClient) {
			ctx, cancel := context.WithCancel(c.asking("x-hang", "1"))
			go func() { c.after("hanging"); cancel() }()
			_, err := c.UnaryCall(ctx, &rpc.SimpleRequest{})
			c.seen.note("client", "%v", status.Code(err))
			c.after("over")
		}),
		{name: "nobody-listens", kinds: []kind{headless, host}, play: func(r *run) {
			c := r.dialRPC()
			_, err := c.UnaryCall(c.ctx, &rpc.SimpleRequest{})
			c.seen.note("client", "%v", status.Code(err))
		}},
	}
	return withSlack(slices.Concat(list, grpcStreamScenarios()))
}

func grpcStreamScenarios() []scenario {
	return []scenario{
		overRPC("server-streaming", func(c *rpcClient) {
			q := &rpc.StreamingOutputCallRequest{}
			for i := range 30 {
				q.ResponseParameters = append(q.ResponseParameters, &rpc.ResponseParameters{Size: int32(i * i * 40)})
			}
			from, err := c.StreamingOutputCall(c.ctx, q)
			check(c, err)
			c.hear(from)
		}),
		overRPC("server-streaming-that-fails-late", func(c *rpcClient) {
			q := &rpc.StreamingOutputCallRequest{ResponseParameters: []*rpc.ResponseParameters{{Size: 10}, {Size: 10}}}
			from, err := c.StreamingOutputCall(c.asking("x-status", "14"), q)
			check(c, err)
			c.hear(from)
		}),
		overRPC("client-streaming", func(c *rpcClient) {
			to, err := c.StreamingInputCall(c.ctx)
			check(c, err)
			for i := range 20 {
				check(c, to.Send(&rpc.StreamingInputCallRequest{Payload: rpcPayload(i * 1000)}))
			}
			res, err := to.CloseAndRecv()
			c.seen.note("client", "%d bytes were heard", res.GetAggregatedPayloadSize())
			c.ended(err, nil, to.Trailer())
		}),
		overRPC("client-streaming-that-is-refused", func(c *rpcClient) {
			to, err := c.StreamingInputCall(c.asking("x-status", "16"))
			check(c, err)
			for err == nil {
				err = to.Send(&rpc.StreamingInputCallRequest{Payload: rpcPayload(1000)})
			}
			_, err = to.CloseAndRecv()
			c.ended(err, nil, to.Trailer())
		}),
		overRPC("ping-pong", func(c *rpcClient) {
			both, err := c.FullDuplexCall(c.ctx)
			check(c, err)
			for i := range 20 {
				check(c, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(i * 300)}))
				res, err := both.Recv()
				c.seen.note("client", "message %s, %v", show(res.GetPayload().GetBody()), err)
			}
			check(c, both.CloseSend())
			c.hear(both)
		}),
		overRPC("stream-that-is-idle", func(c *rpcClient) {
			both, err := c.FullDuplexCall(c.ctx)
			check(c, err)
			for range 2 {
				check(c, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(10)}))
				_, err := both.Recv()
				c.seen.note("client", "a message, %v", err)
				time.Sleep(1500 * time.Millisecond)
			}
			check(c, both.CloseSend())
			c.hear(both)
		}).under(fewKinds...),
		overRPC("stream-that-the-client-cancels", func(c *rpcClient) {
			ctx, cancel := context.WithCancel(c.ctx)
			defer cancel()
			both, err := c.FullDuplexCall(ctx)
			check(c, err)
			check(c, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(10)}))
			_, err = both.Recv()
			c.seen.note("client", "a message, %v", err)
			cancel()
			_, err = both.Recv()
			c.seen.note("client", "%v", status.Code(err))
			c.after("over")
		}),
		overRPC("stream-whose-client-leaves", func(c *rpcClient) {
			both, err := c.FullDuplexCall(c.ctx)
			check(c, err)
			check(c, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(10)}))
			_, err = both.Recv()
			c.seen.note("client", "a message, %v", err)
			_ = c.conn.Close()
			c.after("over")
		}),
		{name: "server-that-stops-gracefully-under-a-stream", kinds: grpcKinds, play: func(r *run) {
			g, c := r.serveRPC(0), r.dialRPC()
			both, err := c.FullDuplexCall(c.ctx)
			check(c, err)
			check(c, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(10)}))
			_, err = both.Recv()
			c.seen.note("client", "a message, %v", err)
			stopped := make(chan struct{})
			go func() { defer close(stopped); g.GracefulStop() }()
			r.after("listens no more")
			check(c, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(20)}))
			res, err := both.Recv()
			c.seen.note("client", "message %s, %v", show(res.GetPayload().GetBody()), err)
			check(c, both.CloseSend())
			c.hear(both)
			<-stopped
		}},
		{name: "server-that-ends-connections-by-age", kinds: fewKinds, play: func(r *run) {
			r.serveRPC(0, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 200 * time.Millisecond, MaxConnectionAgeGrace: time.Second}))
			c := r.dialRPC()
			var failed []string
			for range 50 {
				if _, err := healthpb.NewHealthClient(c.conn).Check(c.ctx, &healthpb.HealthCheckRequest{}); err != nil {
					failed = append(failed, err.Error())
				}
				time.Sleep(10 * time.Millisecond)
			}
			c.seen.note("client", "of 50 calls fail: %s", strings.Join(failed, "; "))
		}},
	}
}

// hear notes the messages of a stream, and its end.
func (c *rpcClient) hear(from grpc.ServerStreamingClient[rpc.StreamingOutputCallResponse]) {
	for {
		res, err := from.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			head, _ := from.Header()
			c.ended(err, head, from.Trailer())
			return
		}
		c.seen.note("client", "message %s", show(res.GetPayload().GetBody()))
	}
}
