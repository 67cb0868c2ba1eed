package proxy

import (
	"io"
	"net/http"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// saysHost answers with the host that a request is for.
func saysHost(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }

func TestRule09_ARetryGoesToAnotherAddressOfTheNameOverHTTP2(t *testing.T) {
	w := buildNamed(t, serveH2(t, saysHost), toHost("up.example", nil))
	w.names.set("up.example", dead, alive)
	c := w.clientH2()
	for range 2 {
		if r, body := do(t, c, "POST", "/", "hi"); r.StatusCode != 200 || body != "up.example" {
			t.Errorf("%d %q", r.StatusCode, body)
		}
	}
}

//enforces:http2 to[].via.proxy
func TestHTTP2GoesThroughTheProxy(t *testing.T) {
	proxy, asked := tunnelling(t, serveH2(t, saysHost), connects)
	w := build(t, netip.MustParseAddrPort(dead+":80"), through("up.example", proxy, nil))
	c := w.clientH2()
	for range 2 {
		if r, body := do(t, c, "POST", "/", "hi"); r.StatusCode != 200 || body != "up.example" {
			t.Errorf("%d %q", r.StatusCode, body)
		}
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT up.example:80" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// A proxy that has no address, or does not let a call through, fails the call over HTTP/2 too.
func TestAProxyThatDoesNotConnectOverHTTP2(t *testing.T) {
	forbidding, _ := tunnelling(t, serveH2(t, saysHost), func(int) string { return "HTTP/1.1 403 Forbidden\r\n\r\n" })
	unknown := through("up.example", forbidding, nil)
	unknown.To.Via.Host = "proxy.corp.example"
	for name, tc := range map[string]struct {
		binding policy.Binding
		reason  string
	}{"refused": {through("up.example", forbidding, nil), "proxy"}, "no address": {unknown, "dns"}} {
		t.Run(name, func(t *testing.T) {
			w := build(t, netip.MustParseAddrPort(dead+":80"), tc.binding)
			if r, _ := do(t, w.clientH2(), "GET", "/", ""); r.StatusCode != 502 || r.Header.Get("fairlead-reason") != tc.reason {
				t.Errorf("%d, %q", r.StatusCode, r.Header.Get("fairlead-reason"))
			}
		})
	}
}
