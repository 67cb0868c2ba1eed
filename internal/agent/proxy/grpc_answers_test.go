package proxy

import (
	"net/netip"
	"testing"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// refusedBy is a proxy that lets no call through.
func refusedBy(t *testing.T) netip.AddrPort {
	at, _ := tunnelling(t, netip.AddrPort{}, func(int) string { return "HTTP/1.1 403 Forbidden\r\n\r\n" })
	return at
}

// rpcOverTLS is a binding for gRPC calls to up.example, to which the agent speaks TLS.
func rpcOverTLS(change func(*policy.Binding)) policy.Binding {
	return toTLS(func(b *policy.Binding) {
		b.To.Host, b.To.Protocol = "up.example", policy.ProtocolGRPC
		if change != nil {
			change(b)
		}
	})
}

// What is wrong with the server's answer, with its TLS, or at the proxy on the way reaches a client of gRPC as a status and a reason.
func TestRule26_GRPCClientsHearWhyThereIsNoAnswer(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		start  func(*testing.T) *testProxy
		kind   call.Kind
		want   codes.Code
		reason string
	}{
		"the answer breaks the protocol": {func(t *testing.T) *testProxy {
			up := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) { _ = s.Headers(true, http2test.F("no", "status")) }})
			return build(t, up.Addr(), toRPC(nil))
		}, call.BadResponse, codes.Internal, "protocol"},
		"the server's certificate has expired": {func(t *testing.T) *testProxy {
			config := apiConfig(a)
			config.Certificates[0] = *a.Issue(tlstest.Expired, "up.example")
			return originating(t, a, serveHTTPS(t, config, sayTLS), rpcOverTLS(nil))
		}, call.TLSFailed, codes.Unavailable, "tls"},
		"the proxy refuses": {func(t *testing.T) *testProxy {
			at := refusedBy(t)
			return originating(t, a, netip.MustParseAddrPort(dead+":80"), rpcOverTLS(func(b *policy.Binding) {
				b.To.Via = policy.Via{Host: at.Addr().String(), Port: at.Port()}
			}))
		}, call.ProxyRefused, codes.Unavailable, "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			w := tc.start(t)
			code, trailer := unaryCall(t, w.clientRPC(), bound(t))
			if code != tc.want || reasonOf(trailer) != tc.reason {
				t.Errorf("%v, %v; want %v, %s", code, trailer, tc.want, tc.reason)
			}
			if o := w.seen.lastCall(t).Outcome; o.Kind != tc.kind || o.GRPCStatus != int(tc.want) {
				t.Errorf("%+v", o)
			}
		})
	}
}
