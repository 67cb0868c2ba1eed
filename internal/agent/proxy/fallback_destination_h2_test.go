package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/interop/grpc_testing"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// takingH2 is a server of HTTP/2 that answers with the body of each request, and checks that it names the right host.
func takingH2(t *testing.T, n *atomic.Int64) netip.AddrPort {
	t.Helper()
	var own netip.AddrPort
	srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
		head, err := s.Head()
		body, berr := s.Body()
		if err != nil || berr != nil {
			return
		}
		if n.Add(1); head.Get(":authority") != authorityAt(own) {
			t.Errorf("it is asked for %s", head.Get(":authority"))
		}
		_ = s.Respond(200, body, nil)
	}})
	own = srv.Addr()
	return own
}

//enforces:http2 fallback.destination.host fallback.destination.port
func TestACallFallsBackOnAnotherHostOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		refuse int64
		first  int64
		other  int64
	}{
		"a failed response":             {method: "GET", first: 1, other: 1},
		"no connection":                 {method: "GET", refuse: 1, other: 1},
		"with its body once more":       {method: "PUT", first: 1, other: 1},
		"what has not arrived":          {method: "POST", refuse: 1, other: 1},
		"never what may have been done": {method: "POST", first: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var first, other atomic.Int64
			w := answering(t, &first, toAnyH2(backedUp(elsewhere(takingH2(t, &other)))), busy)
			w.names.set(apiHost, "127.0.0.1")
			w.dialer.refuse.Store(tc.refuse)
			content := ""
			if tc.method != "GET" {
				content = "hi"
			}
			res, body := do(t, w.clientH2(), tc.method, "/", content)
			if first.Load() != tc.first || other.Load() != tc.other {
				t.Errorf("%d and %d requests have come", first.Load(), other.Load())
			}
			if tc.other == 0 {
				if res.StatusCode != 503 {
					t.Errorf("got %d", res.StatusCode)
				}
				return
			}
			if res.StatusCode != 200 || body != content {
				t.Errorf("got %d %q", res.StatusCode, body)
			}
			w.fallen(2)
		})
	}
}

// serveClearH2 serves HTTP/2 without TLS, whatever the run does.
func serveClearH2(t *testing.T, h http.Handler) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: h, Protocols: &http.Protocols{}}
	s.Protocols.SetUnencryptedHTTP2(true)
	var serves sync.WaitGroup
	serves.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		_ = s.Close()
		serves.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

//enforces:http2 fallback.destination.service.name fallback.destination.service.port
func TestACallFallsBackOnAServiceOverHTTP2(t *testing.T) {
	var first, other atomic.Int64
	w := answering(t, &first, toAnyH2(nil), busy)
	w.install(toAnyH2(backedUp(w.backup(8081, serveClearH2(t, http.HandlerFunc(func(to http.ResponseWriter, q *http.Request) {
		if other.Add(1); q.Host != "up.example" {
			t.Errorf("it is asked for %s", q.Host)
		}
		to.WriteHeader(204)
	}))))))
	c := w.dialH2(http2test.Options{})
	for range 2 {
		if head := getH2(t, c, "/"); head.Get(":status") != "204" {
			t.Errorf("got %v", head)
		}
	}
	if first.Load() != 2 || other.Load() != 2 {
		t.Errorf("%d and %d requests have come", first.Load(), other.Load())
	}
	w.fallen(2)
}

func TestACallWhoseFallbackFailsTooOverHTTP2(t *testing.T) {
	var first atomic.Int64
	w := answering(t, &first, toAnyH2(backedUp(elsewhere(netip.MustParseAddrPort("127.0.0.1:1")))), busy)
	c := w.dialH2(http2test.Options{})
	for _, cause := range []call.Kind{call.DNSFailed, call.ConnectFailed} {
		if head := getH2(t, c, "/"); head.Get(":status") != "503" || head.Get("fairlead-reason") != "" {
			t.Errorf("got %v", head)
		}
		if o := w.seen.lastCall(t).Outcome; o.Cause != cause || o.Fallback != call.NoFallback || o.Attempts != 2 {
			t.Errorf("outcome %+v, want %v", o, cause)
		}
		w.seen.forget(t)
		w.names.set(apiHost, "127.0.0.1")
	}
}

//enforces:grpc fallback.destination.host fallback.destination.port
func TestAGRPCCallFallsBackOnAnotherHost(t *testing.T) {
	other := unaryServer(answers(codes.OK))
	at := serveRPC(t, other)
	for name, tc := range map[string]struct {
		refuse int64
		mode   policy.Idempotency
		want   codes.Code
	}{
		"no connection":                 {1, policy.IdempotentMethods, codes.OK},
		"a failed status":               {0, policy.AnyMethod, codes.OK},
		"never what may have been done": {0, policy.IdempotentMethods, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			first, before := unaryServer(answers(codes.Unavailable)), other.calls.Load()
			change := backedUp(elsewhere(at))
			w := build(t, serveRPC(t, first), toRPC(func(s *policy.Settings) { change(s); s.Retry.Idempotency = tc.mode }))
			w.names.set(apiHost, "127.0.0.1")
			w.dialer.refuse.Store(tc.refuse)
			if code, _ := unaryCall(t, w.clientRPC(), bound(t)); code != tc.want {
				t.Errorf("got %v", code)
			}
			if got := other.calls.Load() - before; (got == 1) != (tc.want == codes.OK) || first.calls.Load() != 1-tc.refuse {
				t.Errorf("%d and %d calls have come", first.calls.Load(), got)
			}
		})
	}
}

//enforces:grpc fallback.destination.service.name fallback.destination.service.port
func TestAGRPCCallFallsBackOnAService(t *testing.T) {
	other, server := unaryServer(answers(codes.OK)), grpc.NewServer()
	t.Cleanup(server.Stop)
	rpc.RegisterTestServiceServer(server, other)
	w := build(t, serve(t, echo))
	w.install(toRPC(backedUp(w.backup(8081, serveClearH2(t, server)))))
	w.dialer.refuse.Store(1)
	if code, _ := unaryCall(t, w.clientRPC(), bound(t)); code != codes.OK || other.calls.Load() != 1 {
		t.Errorf("got %v, %d calls have come", code, other.calls.Load())
	}
	w.fallen(2)
}

// answers ends calls with a status.
func answers(code codes.Code) func(ctx context.Context, n int) error {
	return func(context.Context, int) error { return rpcstatus.Error(code, "") }
}
