package proxy

import (
	"crypto/tls"
	"io"
	"net/netip"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// proxiedCalls make one call to a host below example and report whether it was served, and by which reason it was not if that is said.
var proxiedCalls = map[string]struct {
	server func(t *testing.T) (netip.AddrPort, *tls.Config)
	call   func(t *testing.T, w *testProxy, config *tls.Config) (served bool, reason string)
}{
	"http1": {func(t *testing.T) (netip.AddrPort, *tls.Config) { return serve(t, echo), nil }, func(_ *testing.T, w *testProxy, _ *tls.Config) (bool, string) {
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\nhi")
		r, _ := c.response("POST")
		return r.StatusCode == 200, r.Header.Get("fairlead-reason")
	}},
	"http2": {func(t *testing.T) (netip.AddrPort, *tls.Config) { return serveH2(t, saysHost), nil }, func(t *testing.T, w *testProxy, _ *tls.Config) (bool, string) {
		r, _ := do(t, w.clientH2(), "POST", "/", "hi")
		return r.StatusCode == 200, r.Header.Get("fairlead-reason")
	}},
	"opaque": {func(t *testing.T) (netip.AddrPort, *tls.Config) { return greeter(t) }, func(_ *testing.T, w *testProxy, config *tls.Config) (bool, string) {
		_, err := io.ReadFull(tls.Client(w.dial(), config), make([]byte, 5))
		return err == nil, ""
	}},
}

// A proxy whose name cannot be looked up is looked up again for the next attempt, whatever the method: nothing was sent. Without one left, or where
// retry.when does not name it, the call has failed for that.
func TestRule07_AProxyThatIsNotFoundIsLookedUpAgain(t *testing.T) {
	for kind, by := range proxiedCalls {
		for name, tc := range map[string]struct {
			on     policy.Condition
			fail   int
			served bool
			kinds  []call.Kind // of the attempts
		}{
			"found at last":     {policy.DNSFailure, 2, true, []call.Kind{call.DNSFailed, call.DNSFailed, call.OK}},
			"never found":       {policy.DNSFailure, 9, false, []call.Kind{call.DNSFailed, call.DNSFailed, call.DNSFailed}},
			"a connect":         {policy.ConnectFailure, 1, true, []call.Kind{call.DNSFailed, call.OK}},
			"not to be retried": {policy.ServerError, 1, false, []call.Kind{call.DNSFailed}},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				server, config := by.server(t)
				proxy, _ := tunnelling(t, server, connects)
				b := through("*.example", proxy, func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = policy.Of(tc.on), 2 })
				b.To.Via = policy.Via{Host: "proxy.corp.example", Port: 3128}
				w := build(t, netip.MustParseAddrPort(dead+":443"), b)
				w.dialer.at.Store(netip.MustParseAddrPort(alive+":3128"), proxy)
				w.names.set("proxy.corp.example", alive)
				w.names.fail(tc.fail)
				served, reason := by.call(t, w, config)
				if served != tc.served || !served && kind != "opaque" && reason != "dns" {
					t.Errorf("served: %v, %q", served, reason)
				}
				e := w.seen.lastCall(t)
				var kinds []call.Kind
				for _, a := range e.Attempts {
					kinds = append(kinds, a.Kind)
				}
				if !slices.Equal(kinds, tc.kinds) || e.Attempts[0].Detail != routes.DetailProxyUnknown {
					t.Errorf("attempts %+v", e.Attempts)
				}
			})
		}
	}
}

// What counts as a failure of the breaker's is up to the policy, and the DNS may be one.
func TestRule22_ADNSFailureCountsAsWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		on   policy.Condition
		want string
	}{"named": {policy.DNSFailure, "circuit_open"}, "as a connect": {policy.ConnectFailure, "circuit_open"}, "not named": {policy.Reset, "dns"}} {
		t.Run(name, func(t *testing.T) {
			b := through("api.example", closedAddress(t), func(s *policy.Settings) {
				breaker := policy.DefaultBreaker()
				breaker.ConsecutiveFailures, breaker.FailureOn = 1, policy.Of(tc.on)
				s.Breaker, s.Retry.MaxRetries = &breaker, 0
			})
			b.To.Via = policy.Via{Host: "proxy.corp.example", Port: 3128}
			w := build(t, netip.MustParseAddrPort(dead+":80"), b)
			c := w.dial()
			for _, want := range []string{"dns", tc.want} {
				c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
				if r, _ := c.response("GET"); r.Header.Get("fairlead-reason") != want {
					t.Errorf("got %q, want %q", r.Header.Get("fairlead-reason"), want)
				}
			}
		})
	}
}
