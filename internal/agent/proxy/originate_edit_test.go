package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// A policy comes to say otherwise about TLS while a call waits for its retry. The retry goes as the call began: nothing of it is sent in plain text
// that was to be encrypted, and it does not fail. The call after it goes by the policy as it is then.
func TestRule33_ARetryGoesOverTLSAsItsCallBegan(t *testing.T) {
	for name, tc := range map[string]struct{ originate, then bool }{
		"TLS, then plain": {originate: true},
		"plain, then TLS": {then: true},
	} {
		for protocol, ask := range map[string]func(*testProxy) (int, string){"HTTP/1.1": askAPI, "HTTP/2": askAPIH2} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				edit := newTLSEdit(t, protocol == "HTTP/2")
				w := edit.proxy
				w.install(edit.policy(tc.originate))
				edit.first.Store(&[]policy.Binding{edit.policy(tc.then)})
				kinds := map[bool]string{true: "TLS", false: "plain"}
				if code, body := ask(w); code != 200 || body != kinds[tc.originate] {
					t.Errorf("the call that began before is answered %d %q", code, body)
				}
				if code, body := ask(w); code != 200 || body != kinds[tc.then] {
					t.Errorf("the next one is answered %d %q", code, body)
				}
			})
		}
	}
}

func askAPI(w *testProxy) (int, string) {
	res, body := w.dial().getAPI("/")
	return res.StatusCode, body
}

func askAPIH2(w *testProxy) (int, string) {
	res, body := w.getHTTP2(w.clearHTTP2(), "/")
	return res.StatusCode, body
}

// tlsEdit is a host that speaks plain HTTP on one port and TLS on another, whose policy is edited during the first request.
type tlsEdit struct {
	proxy *testProxy
	tls   netip.AddrPort
	http2 bool
	first atomic.Pointer[[]policy.Binding] // installed, and the request refused; nil: done already
}

func newTLSEdit(t *testing.T, http2 bool) *tlsEdit {
	t.Helper()
	a, e := tlstest.New(t), &tlsEdit{http2: http2}
	plain, secured := httptest.NewUnstartedServer(e), httptest.NewUnstartedServer(e)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	secured.TLS, secured.EnableHTTP2 = apiConfig(a), http2
	plain.Start()
	t.Cleanup(plain.Close)
	secured.StartTLS()
	t.Cleanup(secured.Close)
	e.tls = netip.MustParseAddrPort(secured.Listener.Addr().String())
	e.proxy = build(t, netip.MustParseAddrPort(plain.Listener.Addr().String()))
	e.proxy.trust(a)
	return e
}

// policy is one of the host.
func (e *tlsEdit) policy(originate bool) policy.Binding {
	return toTLS(func(b *policy.Binding) {
		b.Base.Retry.On = policy.Of(policy.GatewayError)
		if e.http2 {
			b.To.Protocol = policy.ProtocolHTTP2
		}
		if b.To.TLS.Port = e.tls.Port(); !originate {
			b.To.TLS = policy.TLS{}
		}
	})
}

// ServeHTTP implements http.Handler.
func (e *tlsEdit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if edit := e.first.Swap(nil); edit != nil {
		e.proxy.install(*edit...)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	kind := "plain"
	if r.TLS != nil {
		kind = "TLS"
	}
	_, _ = io.WriteString(w, kind)
}
