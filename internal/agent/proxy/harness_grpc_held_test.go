package proxy

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

// What a call asks a server for in its metadata: to be held, or a status by its number.
const (
	askField = "x-ask"
	toHold   = "held"
)

func askingFor(ctx context.Context, what string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, askField, what)
}

// asks is what a call asks for; empty: nothing.
func asks(ctx context.Context) string {
	in, _ := metadata.FromIncomingContext(ctx)
	if v := in.Get(askField); len(v) > 0 {
		return v[0]
	}
	return ""
}

// heldRPC is a gRPC server that answers calls as they ask: those to be held when the test lets it. It knows its connections.
type heldRPC struct {
	*rpcServer

	arrived chan struct{} // one for each call that is held
	release *barrier
	conns   atomic.Int64  // that have come
	ended   chan struct{} // one for each connection
}

func newHeldRPC(t testing.TB) *heldRPC {
	t.Helper()
	h := &heldRPC{arrived: make(chan struct{}, 100), release: newBarrier(), ended: make(chan struct{}, 100)}
	h.rpcServer = unaryServer(func(ctx context.Context, _ int) error {
		what := asks(ctx)
		if what == toHold {
			h.arrived <- struct{}{}
			select {
			case <-h.release.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if code, err := strconv.Atoi(what); err == nil {
			return rpcstatus.Error(codes.Code(code), "")
		}
		return nil
	})
	t.Cleanup(h.release.now)
	return h
}

func (h *heldRPC) options() []grpc.ServerOption { return []grpc.ServerOption{grpc.StatsHandler(h)} }

// HandleConn implements stats.Handler, as do those below.
func (h *heldRPC) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		h.conns.Add(1)
	case *stats.ConnEnd:
		h.ended <- struct{}{}
	}
}

func (*heldRPC) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*heldRPC) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*heldRPC) HandleRPC(context.Context, stats.RPCStats)                         {}

// holdingRPC is a proxy in front of a server that holds calls.
func holdingRPC(t testing.TB, change func(*policy.Settings)) (*testProxy, *heldRPC) {
	t.Helper()
	h := newHeldRPC(t)
	return buildH2(t, serveRPC(t, h), toRPC(change)), h
}

// callBeside is a call beside the test.
type callBeside struct {
	cancel func()
	done   chan struct{}

	code    codes.Code // these once it is done
	trailer metadata.MD
}

// begin makes a call that asks for something, beside the test.
func begin(t testing.TB, c rpc.TestServiceClient, what string) *callBeside {
	t.Helper()
	ctx, cancel := context.WithCancel(askingFor(bound(t), what))
	b := &callBeside{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.code, b.trailer = unaryCall(t, c, ctx)
	}()
	t.Cleanup(func() { cancel(); <-b.done })
	return b
}

// wait is what the call has ended with.
func (b *callBeside) wait() codes.Code {
	<-b.done
	return b.code
}

// hold begins n calls, one after the other, and waits until the server has them.
func (h *heldRPC) hold(w *testProxy, c rpc.TestServiceClient, n int) (calls []*callBeside) {
	w.t.Helper()
	for range n {
		calls = append(calls, begin(w.t, c, toHold))
		w.expect(h.arrived, "the call does not arrive")
	}
	return calls
}

// endRPC makes a call that asks for something, and returns its status, and why the agent has answered by itself.
func endRPC(t testing.TB, c rpc.TestServiceClient, what string) (codes.Code, string) {
	t.Helper()
	code, trailer := unaryCall(t, c, askingFor(bound(t), what))
	return code, reasonOf(trailer)
}

// clientRPC is a gRPC client of a pod.
func (n *neighbours) clientRPC(uid string) rpc.TestServiceClient {
	n.t.Helper()
	conn := n.dialFor(uid, tlslayer.HTTP2)
	c, err := grpc.NewClient("passthrough:///up.example", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return conn, nil }))
	check(n.t, err)
	n.t.Cleanup(func() { _ = c.Close() })
	return rpc.NewTestServiceClient(c)
}
