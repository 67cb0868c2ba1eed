package proxy

import (
	"io"
	"net/netip"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// A gRPC call is a POST to a path as well.
//
//enforces:grpc rules[].name rules[].match[].methods rules[].match[].path.type rules[].match[].path.value
func TestGRPCCallsFindTheirRuleByTheirPath(t *testing.T) {
	const service = "/grpc.testing.TestService"
	b := toRPC(retryStatuses(unavailable))
	once := b.Base
	once.Retry.MaxRetries = 0
	for name, m := range map[string]policy.RequestMatch{
		"another method": {Methods: []string{"GET"}, PathType: policy.PathPrefix, Path: service},
		"a part of it":   {PathType: policy.PathExact, Path: service},
		"another path":   {PathType: policy.PathPrefix, Path: service + "/Other"},
	} {
		other := b
		other.Rules = []policy.Rule{{Name: "other", Settings: once, Match: []policy.RequestMatch{m}}}
		governedBy(t, name, other, "", 3)
	}
	b.Rules = []policy.Rule{{Name: "its own", Settings: once, Match: []policy.RequestMatch{
		{Methods: []string{"POST"}, PathType: policy.PathExact, Path: service + "/UnaryCall"},
	}}}
	governedBy(t, "its path", b, "its own", 1)
}

// governedBy makes a call that fails, and checks which rule it is reported under and how often it has come.
func governedBy(t *testing.T, name string, b policy.Binding, rule string, attempts int64) {
	t.Helper()
	srv := failing(codes.Unavailable)
	w := buildH2(t, serveRPC(t, srv), b)
	unaryCall(t, w.clientRPC(), bound(t))
	if got := w.seen.lastCall(t).Rule; got != rule || srv.calls.Load() != attempts {
		t.Errorf("%s: %d attempts under rule %q, want %d under %q", name, srv.calls.Load(), got, attempts, rule)
	}
}

//enforces:grpc to[].via.proxy
func TestGRPCGoesThroughTheProxy(t *testing.T) {
	srv := failing(codes.OK)
	proxy, asked := tunnelling(t, serveRPC(t, srv), connects)
	b := through("up.example", proxy, nil)
	b.To.Protocol = policy.ProtocolGRPC
	c := buildH2(t, netip.MustParseAddrPort(dead+":80"), b).clientRPC()
	for range 2 {
		if code, trailer := unaryCall(t, c, bound(t)); code != codes.OK {
			t.Errorf("got %v, %v", code, trailer)
		}
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT up.example:80" || srv.calls.Load() != 2 {
		t.Errorf("the proxy was asked for %q, %d calls have come", got, srv.calls.Load())
	}
}

// Where gRPC is declared nothing else passes than HTTP/2, which carries it; found out, it does.
//
//enforces:grpc to[].protocol
//notover:intercept what is inside TLS is agreed on before
func TestWhatIsNoHTTP2IsRefusedWhereGRPCIsDeclared(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toRPC(nil))
	c := w.dial()
	c.send(aGET)
	_, _ = io.Copy(io.Discard, io.LimitReader(c.r, 40)) // the end, or an answer
	if dials := w.dialer.dials.Load(); dials != 0 || n.Load() != 0 {
		t.Fatalf("%d connections to the server, %d requests", dials, n.Load())
	}
	w.waitFor(t, func() bool { return w.events.malformed.Load() == 1 })
}

// A breaker counts answers that are not gRPC's by their status of HTTP.
//
//enforces:grpc circuitBreaker.failures.statusCodes
func TestRule22_AnswersOfHTTPDecideOnOpeningForGRPC(t *testing.T) {
	for name, opens := range map[string]bool{"418": true, "419": false} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := answering(t, &n, toRPC(guarded(func(b *policy.Breaker) {
				b.ConsecutiveFailures, b.FailureStatus = 1, []policy.StatusRange{{From: 418, To: 418}}
			})), statusFor)
			c := w.dialH2(http2test.Options{})
			for i, want := range []bool{false, opens} {
				s := must(c.Post("up.example", "/"+name, make([]byte, 5), http2test.F("content-type", "application/grpc", "te", "trailers")))(t)
				if _, head := statusOf(t, s); (head.Get("fairlead-reason") == "circuit_open") != want {
					t.Errorf("call %d got %v", i, head)
				}
				w.seen.await(t, i+1)
			}
			if rejected := n.Load() == 1; rejected != opens {
				t.Errorf("%d calls at the server", n.Load())
			}
		})
	}
}
