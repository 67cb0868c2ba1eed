package proxy

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// Inside intercepted TLS an address of the name that fails is left out.
//
//enforces:intercept circuitBreaker.scope circuitBreaker.maxEjectedPercent
func TestRule22_AnInterceptedCallLeavesOutAFailingAddress(t *testing.T) {
	as := authorities(t)
	leavesOutAnAddress(t, as, func(w *testProxy, _ policy.Protocol) (*http.Client, string) { return w.https(as.egress, nil), "https" }, toIntercept)
}

// So it is by calls of a pod that speaks in the clear.
//
//enforces:originate circuitBreaker.scope circuitBreaker.maxEjectedPercent
func TestRule22_AnOriginatedCallLeavesOutAFailingAddress(t *testing.T) {
	leavesOutAnAddress(t, authorities(t), func(w *testProxy, p policy.Protocol) (*http.Client, string) {
		c := w.clearHTTP2()
		c.Transport.(*http.Transport).Protocols.SetHTTP1(p == policy.ProtocolHTTP)
		c.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(p != policy.ProtocolHTTP)
		return c, "http"
	}, toTLS)
}

func leavesOutAnAddress(
	t *testing.T, as twoCAs, client func(*testProxy, policy.Protocol) (c *http.Client, scheme string), binding func(func(*policy.Binding)) policy.Binding,
) {
	const first, second = "198.51.100.1", "198.51.100.2"
	for _, protocol := range []policy.Protocol{policy.ProtocolHTTP, policy.ProtocolHTTP2} {
		// The third failure is the first after which another address is known.
		for most, want := range map[int][2]int64{60: {3, 17}, 0: {20, 0}} {
			t.Run(protocol.String(), func(t *testing.T) {
				var n [2]atomic.Int64
				server := func(i int, status int) netip.AddrPort {
					return serveHTTPS(t, apiConfig(as.hosts), func(w http.ResponseWriter, _ *http.Request) { n[i].Add(1); w.WriteHeader(status) })
				}
				bad, good := server(0, 500), server(1, 200)
				w := intercepting(t, as, netip.MustParseAddrPort(first+":443"), binding(func(b *policy.Binding) {
					b.To.Protocol = protocol
					eachEndpoint(most)(&b.Base)
					b.Base.Retry.MaxRetries = 0
				}))
				w.names.set(apiHost, first, second)
				w.dialer.at.Store(w.original, bad)
				w.dialer.at.Store(netip.AddrPortFrom(netip.MustParseAddr(second), 443), good)
				c, scheme := client(w, protocol)
				for range 20 {
					res, err := c.Get(scheme + "://" + apiHost + "/")
					check(t, err)
					res.Body.Close()
				}
				if got := [2]int64{n[0].Load(), n[1].Load()}; got != want {
					t.Errorf("with at most %d %%: the addresses got %v calls, want %v", most, got, want)
				}
			})
		}
	}
}
