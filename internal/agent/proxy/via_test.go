package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// through is a binding for a host that is called through a proxy.
func through(host string, proxy netip.AddrPort, change func(*policy.Settings)) policy.Binding {
	b := toHost(host, change)
	b.To.Via = policy.Via{Host: proxy.Addr().String(), Port: proxy.Port()}
	return b
}

// tunnelling is a proxy that answers each CONNECT with what answer returns, and connects to the server if that is empty. asked receives
// the authorities.
func tunnelling(t *testing.T, server netip.AddrPort, answer func(n int) string) (at netip.AddrPort, asked func() []string) {
	t.Helper()
	return tunnellingFor(t, server, func(n int, _ *http.Request) string { return answer(n) })
}

// tunnellingFor is tunnelling by a proxy that looks at what it is asked.
func tunnellingFor(t *testing.T, server netip.AddrPort, answer func(n int, q *http.Request) string) (at netip.AddrPort, asked func() []string) {
	t.Helper()
	authorities := make(chan string, 100)
	at = serveClear(t, func(n int, p *peer) {
		q, _, ok := p.request()
		if !ok {
			return
		}
		authorities <- q.Method + " " + q.Host
		if a := answer(n, q); a != "" {
			p.send(a)
			return
		}
		up, err := net.Dial("tcp", server.String())
		if err != nil {
			p.send("HTTP/1.1 502 Bad Gateway\r\n\r\n")
			return
		}
		p.send("HTTP/1.1 200 Connection established\r\n\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(up, p.r)
			_ = up.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(p, up)
		_ = p.CloseWrite()
		<-done
		up.Close()
	})
	return at, func() (out []string) {
		for {
			select {
			case a := <-authorities:
				out = append(out, a)
			default:
				return out
			}
		}
	}
}

func connects(int) string { return "" }

// Calls to a host go through the proxy by name, wherever the client has connected, and their connections are kept.
//
//enforces:http1 to[].via.proxy
func TestCallsGoThroughTheProxy(t *testing.T) {
	proxy, asked := tunnelling(t, serve(t, echo), connects)
	w := build(t, netip.MustParseAddrPort(dead+":80"), through("*.example", proxy, nil))
	c := w.dial()
	for range 2 {
		c.send("POST /x HTTP/1.1\r\nHost: API.example\r\nContent-Length: 2\r\n\r\nhi")
		if r, body := c.response("POST"); r.StatusCode != 200 || body != "POST /x hi" {
			t.Errorf("%d %q", r.StatusCode, body)
		}
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT api.example:80" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

//enforces:opaque to[].via.proxy
func TestTLSGoesThroughTheProxy(t *testing.T) {
	server, config := greeter(t)
	proxy, asked := tunnelling(t, server, connects)
	w := build(t, netip.MustParseAddrPort(dead+":443"), through("api.example", proxy, nil))
	c := tls.Client(w.dial(), config)
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT api.example:443" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// The proxy's name is looked up; without an address calls fail.
func TestTheProxysNameIsLookedUp(t *testing.T) {
	proxy, _ := tunnelling(t, serve(t, echo), connects)
	b := through("api.example", proxy, nil)
	b.To.Via = policy.Via{Host: "proxy.corp.example", Port: 3128}
	for name, known := range map[string]bool{"known": true, "not known": false} {
		t.Run(name, func(t *testing.T) {
			w := build(t, netip.MustParseAddrPort(dead+":80"), b)
			w.dialer.at.Store(netip.MustParseAddrPort(alive+":3128"), proxy)
			want := 502
			if known {
				w.names.set("proxy.corp.example", alive)
				want = 200
			}
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
			r, _ := c.response("GET")
			if r.StatusCode != want || !known && r.Header.Get("fairlead-reason") != "dns" {
				t.Errorf("%d, %q", r.StatusCode, r.Header.Get("fairlead-reason"))
			}
		})
	}
}

// The addresses that a proxy had last serve while nobody answers for its name, and no call waits for that.
func TestAProxyIsFoundWhileItsNameCannotBeLookedUp(t *testing.T) {
	w := besideProxied(t, nil)
	w.names.set("proxy.corp.example", alive)
	w.names.pass()
	if r, _ := do(t, w.clientH2(), "GET", "/", ""); r.StatusCode != 200 {
		t.Fatalf("%d", r.StatusCode)
	}
	known := w.names.hold()
	defer known.now()
	if r, _ := do(t, w.clientH2(), "GET", "/", ""); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	if asked := w.names.questions(); len(asked) != 2 {
		t.Errorf("looked up %q", asked)
	}
}

// What a proxy answers is distinguished: only what may succeed another time is tried again.
func TestAProxysAnswersAreToldApart(t *testing.T) {
	for name, tc := range map[string]struct {
		answer   string
		reason   string
		detail   routes.Detail
		attempts int
	}{
		"credentials":       {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy", routes.DetailProxyUnauthorized, 1},
		"forbidden":         {"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy", routes.DetailProxyRefused, 1},
		"a redirect":        {"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", "proxy", routes.DetailProxyRefused, 1},
		"no HTTP":           {"hello\r\n\r\n", "proxy", routes.DetailProxyMalformed, 1},
		"the host is away":  {"HTTP/1.1 502 Bad Gateway\r\n\r\n", "connect_failure", routes.DetailProxyUnreachable, 3},
		"the host is slow":  {"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "connect_failure", routes.DetailProxyUnreachable, 3},
		"ends without word": {"\r\n", "proxy", routes.DetailProxyMalformed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			proxy, asked := tunnelling(t, serve(t, echo), func(int) string { return tc.answer })
			w := build(t, netip.MustParseAddrPort(dead+":80"), through("api.example", proxy, func(s *policy.Settings) { s.Retry.MaxRetries = 2 }))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
			r, _ := c.response("GET")
			if got := r.Header.Get("fairlead-reason"); r.StatusCode != 502 || got != tc.reason {
				t.Errorf("%d, %q; want 502, %q", r.StatusCode, got, tc.reason)
			}
			if got := asked(); len(got) != tc.attempts {
				t.Errorf("%d attempts, want %d", len(got), tc.attempts)
			}
			if got := w.seen.lastCall(t).Detail; got != tc.detail {
				t.Errorf("detail %q, want %q", got, tc.detail)
			}
		})
	}
}

// A proxy that says nothing is given up with timeouts.connect, and one that is not there is tried again.
func TestAProxyThatDoesNotAnswer(t *testing.T) {
	var asked atomic.Int64
	silent := serve(t, func(_ int, p *peer) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, p.r)
	})
	for name, tc := range map[string]struct {
		proxy netip.AddrPort
		kind  call.Kind
	}{"silent": {silent, call.ConnectTimeout}, "closed": {closedAddress(t), call.ConnectFailed}} {
		t.Run(name, func(t *testing.T) {
			w := build(t, netip.MustParseAddrPort(dead+":80"), through("api.example", tc.proxy, func(s *policy.Settings) {
				s.Timeouts.Connect, s.Retry.MaxRetries = drive.FirstCheck, 1
			}))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
			if r, _ := c.response("GET"); r.StatusCode != 502 || r.Header.Get("fairlead-reason") != "connect_failure" {
				t.Errorf("%d, %q", r.StatusCode, r.Header.Get("fairlead-reason"))
			}
			if e := w.seen.lastCall(t); len(e.Attempts) != 2 || e.Attempts[0].Kind != tc.kind {
				t.Errorf("attempts %+v", e.Attempts)
			}
		})
	}
	if asked.Load() != 2 {
		t.Errorf("the silent one was asked %d times", asked.Load())
	}
}

// A connection that is passed through is reset when its proxy does not let it through.
func TestTLSThatTheProxyRefusesIsReset(t *testing.T) {
	proxy, _ := tunnelling(t, serve(t, echo), func(int) string { return "HTTP/1.1 403 Forbidden\r\n\r\n" })
	w := build(t, netip.MustParseAddrPort(dead+":443"), through("api.example", proxy, nil))
	_, config := certified(t, "api.example")
	c := tls.Client(w.dial(), config)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

// Tinyproxy is somebody else's proxy.
func TestThroughTinyproxy(t *testing.T) {
	server := serve(t, echo)
	port := runTinyproxy(t)
	proxy := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	b := through("localhost", proxy, nil)
	w := build(t, netip.AddrPortFrom(netip.MustParseAddr(dead), server.Port()), b)
	c := w.dial()
	for i := range 3 {
		c.send(fmt.Sprintf("PUT /%d HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 100000\r\n\r\n%s", i, server.Port(), strings.Repeat("x", 100000)))
		if r, body := c.response("PUT"); r.StatusCode != 200 || len(body) < 100000 {
			t.Errorf("%d, %d bytes", r.StatusCode, len(body))
		}
	}
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections to the proxy", n)
	}
}
