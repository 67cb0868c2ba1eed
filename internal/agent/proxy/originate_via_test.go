package proxy

import (
	"crypto/tls"
	"io"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// toTLSThrough is toTLS through a proxy.
func toTLSThrough(proxy netip.AddrPort, change func(*policy.Binding)) policy.Binding {
	return toTLS(func(b *policy.Binding) {
		b.To.Via = policy.Via{Host: proxy.Addr().String(), Port: proxy.Port()}
		b.Base.Retry.MaxRetries = 1
		if change != nil {
			change(b)
		}
	})
}

// The proxy is asked first, for the port on which TLS is spoken, and what follows is the server's.
func TestOriginateThroughTheProxy(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		port uint16
		want string
	}{"the port that was called": {0, "CONNECT api.example:80"}, "the policy's port": {8443, "CONNECT api.example:8443"}} {
		t.Run(name, func(t *testing.T) {
			proxy, asked := tunnelling(t, serveHTTPS(t, apiConfig(a), sayTLS), connects)
			w := originating(t, a, netip.MustParseAddrPort(dead+":80"), toTLSThrough(proxy, func(b *policy.Binding) { b.To.TLS.Port = tc.port }))
			c := w.dial()
			for range 2 {
				if res, body := c.getAPI("/x"); res.StatusCode != 200 || body != "GET /x HTTP/1.1 host=api.example sni=api.example body=0" {
					t.Fatalf("got %d %q", res.StatusCode, body)
				}
			}
			if got := asked(); len(got) != 1 || got[0] != tc.want {
				t.Errorf("the proxy was asked for %q, want %q once", got, tc.want)
			}
		})
	}
}

// What fails on the way and what fails in TLS are distinguished, and each stage has its own limit.
func TestOriginateThroughAProxySaysWhichStageFailed(t *testing.T) {
	a := tlstest.New(t)
	silent := func(t *testing.T) netip.AddrPort { return stalling(t) }
	answers := func(s string) func(*testing.T) netip.AddrPort {
		return func(t *testing.T) netip.AddrPort {
			at, _ := tunnelling(t, netip.AddrPort{}, func(int) string { return s })
			return at
		}
	}
	reaches := func(server func(testing.TB) netip.AddrPort) func(*testing.T) netip.AddrPort {
		return func(t *testing.T) netip.AddrPort {
			at, _ := tunnelling(t, server(t), connects)
			return at
		}
	}
	for name, tc := range map[string]struct {
		proxy    func(*testing.T) netip.AddrPort
		kind     call.Kind
		detail   routes.Detail
		attempts int
	}{
		"the proxy refuses":     {answers("HTTP/1.1 403 Forbidden\r\n\r\n"), call.ProxyRefused, routes.DetailProxyRefused, 1},
		"it cannot reach it":    {answers("HTTP/1.1 502 Bad Gateway\r\n\r\n"), call.ConnectFailed, routes.DetailProxyUnreachable, 2},
		"it says nothing":       {silent, call.ConnectTimeout, routes.DetailConnect, 2},
		"the server is silent":  {reaches(stalling), call.ConnectTimeout, routes.DetailTLSHandshake, 2},
		"the server is another": {reaches(func(t testing.TB) netip.AddrPort { return serveHTTPS(t, otherConfig(a), sayTLS) }), call.TLSFailed, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := originating(t, a, netip.MustParseAddrPort(dead+":80"), toTLSThrough(tc.proxy(t), func(b *policy.Binding) {
				b.Base.Timeouts.Connect, b.Base.Timeouts.TLSHandshake = 2*drive.FirstCheck, 2*drive.FirstCheck
			}))
			if res, _ := w.dial().getAPI("/"); res.StatusCode != 502 {
				t.Errorf("got %d", res.StatusCode)
			}
			e := w.seen.lastCall(t)
			if len(e.Attempts) != tc.attempts || e.Attempts[0].Kind != tc.kind || tc.detail != "" && e.Attempts[0].Detail != tc.detail {
				t.Errorf("attempts %+v", e.Attempts)
			}
		})
	}
}

// otherConfig is that of a server with the certificate of another host.
func otherConfig(a *tlstest.Authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*a.Issue(nil, "other.example")}}
}

// Another address of the name is connected to for a server that TLS is spoken to, as for others.
func TestOriginateAtAnotherAddressOfTheName(t *testing.T) {
	a := tlstest.New(t)
	server := serveHTTPS(t, apiConfig(a), sayTLS)
	w := build(t, netip.MustParseAddrPort(dead+":80"))
	w.dialer.at.Store(w.original, closedAddress(t))
	w.dialer.at.Store(netip.MustParseAddrPort(alive+":80"), server)
	w.names.set(apiHost, dead, alive)
	w.trust(a)
	w.install(toTLS(func(b *policy.Binding) { b.Base.Retry.MaxRetries, b.Base.Retry.AvoidPreviousEndpoints = 1, true }))
	if res, body := w.dial().getAPI("/x"); res.StatusCode != 200 || body != "GET /x HTTP/1.1 host=api.example sni=api.example body=0" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// A pod that speaks TLS by itself is passed through the proxy as it is, to the port that it called.
func TestThePodsOwnTLSGoesThroughTheProxy(t *testing.T) {
	a := tlstest.New(t)
	server, config := greeter(t)
	proxy, asked := tunnelling(t, server, connects)
	w := originating(t, a, netip.MustParseAddrPort(dead+":443"), toTLSThrough(proxy, func(b *policy.Binding) { b.To.TLS.Port = 8443 }))
	c := tls.Client(w.dial(), config)
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT api.example:443" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

func TestOriginateSpeaksHTTP2ThroughTheProxy(t *testing.T) {
	a := tlstest.New(t)
	proxy, asked := tunnelling(t, serveHTTPS(t, apiConfig(a), sayTLS), connects)
	w := originating(t, a, netip.MustParseAddrPort(dead+":80"), toTLSThrough(proxy, func(b *policy.Binding) {
		http2TLS(b)
		b.To.TLS.Port = 8443
	}))
	c := w.clearHTTP2()
	for range 2 {
		if res, body := w.getHTTP2(c, "/x"); res.StatusCode != 200 || body != "GET /x HTTP/2.0 host=api.example sni=api.example body=0" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT api.example:8443" {
		t.Errorf("the proxy was asked for %q", got)
	}
}
