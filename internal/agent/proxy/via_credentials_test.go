package proxy

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// given are credentials that bindings name.
func given(username, password string) map[string]*policy.Credentials {
	return map[string]*policy.Credentials{"ns/proxy": {Name: "ns/proxy", Username: username, Password: password}}
}

// authorizing is a proxy that wants one header from whoever asks.
func authorizing(t *testing.T, server netip.AddrPort, want func() string) (at netip.AddrPort, asked func() []string) {
	t.Helper()
	return tunnellingFor(t, server, func(_ int, q *http.Request) string {
		if q.Header.Get("Proxy-Authorization") != want() {
			return "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
		}
		return ""
	})
}

// withCredentials is through with credentials.
func withCredentials(host string, proxy netip.AddrPort) policy.Binding {
	b := through(host, proxy, nil)
	b.To.Via.Credentials = "ns/proxy"
	return b
}

const aladdin = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" // RFC 7617 section 2

// A proxy is given the credentials that the policy names, whatever goes through it.
//
//enforces:agent to[].via.credentialsRef.name
func TestTheProxyIsGivenItsCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		host  string
		serve func(t *testing.T) (netip.AddrPort, *tls.Config)
		call  func(t *testing.T, w *testProxy, config *tls.Config)
	}{
		"http1": {"up.example", func(t *testing.T) (netip.AddrPort, *tls.Config) { return serve(t, echo), nil }, func(t *testing.T, w *testProxy, _ *tls.Config) {
			if r, _ := w.dial().get("/"); r.StatusCode != 200 {
				t.Errorf("%d", r.StatusCode)
			}
		}},
		"http2": {"up.example", func(t *testing.T) (netip.AddrPort, *tls.Config) { return serveH2(t, saysHost), nil }, func(t *testing.T, w *testProxy, _ *tls.Config) {
			if r, _ := do(t, w.clientH2(), "GET", "/", ""); r.StatusCode != 200 {
				t.Errorf("%d", r.StatusCode)
			}
		}},
		"tls": {"api.example", func(t *testing.T) (netip.AddrPort, *tls.Config) { return greeter(t) }, func(t *testing.T, w *testProxy, config *tls.Config) {
			if _, err := io.ReadFull(tls.Client(w.dial(), config), make([]byte, 5)); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server, config := tc.serve(t)
			proxy, _ := authorizing(t, server, func() string { return aladdin })
			b := withCredentials(tc.host, proxy)
			w := build(t, netip.MustParseAddrPort(dead+":443"), b)
			w.credentials = given("Aladdin", "open sesame")
			w.install(b)
			tc.call(t, w, config)
		})
	}
}

// Credentials that are not there, as after a start without the manager, are not left out: the proxy is asked for nothing.
func TestAProxyIsNotAskedWithoutItsCredentials(t *testing.T) {
	proxy, asked := tunnelling(t, serve(t, echo), connects)
	b := withCredentials("up.example", proxy)
	w := build(t, netip.MustParseAddrPort(dead+":80"), b)
	c := w.dial()
	if r, _ := c.get("/"); r.StatusCode != 502 || r.Header.Get("fairlead-reason") != "proxy" {
		t.Errorf("%d, %q", r.StatusCode, r.Header.Get("fairlead-reason"))
	}
	if e := w.seen.lastCall(t); e.Detail != routes.DetailProxyNoCredentials {
		t.Errorf("detail %q", e.Detail)
	}
	if got := asked(); len(got) > 0 {
		t.Errorf("the proxy was asked for %q", got)
	}
	w.credentials = given("u", "p")
	w.install(b)
	if r, _ := w.dial().get("/"); r.StatusCode != 200 {
		t.Errorf("%d when they are there", r.StatusCode)
	}
}

// New credentials serve new connections at once; those that are open go on.
func TestCredentialsAreReplacedWithoutAFailedCall(t *testing.T) {
	var want atomic.Value
	want.Store(aladdin)
	server := serve(t, func(_ int, p *peer) { // ends its connections after two answers
		for range 2 {
			if _, _, ok := p.request(); ok {
				p.ok("")
			}
		}
	})
	proxy, asked := authorizing(t, server, func() string { return want.Load().(string) })
	b := withCredentials("up.example", proxy)
	w := build(t, netip.MustParseAddrPort(dead+":80"), b)
	w.credentials = given("Aladdin", "open sesame")
	w.install(b)
	first := w.dial()
	if r, _ := first.get("/"); r.StatusCode != 200 {
		t.Fatalf("%d", r.StatusCode)
	}
	want.Store("Basic dTpw")
	w.credentials = given("u", "p")
	w.install(b)
	if r, _ := first.get("/"); r.StatusCode != 200 {
		t.Errorf("%d on a connection of before", r.StatusCode)
	}
	if got := asked(); len(got) != 1 {
		t.Errorf("the proxy was asked for %q", got)
	}
	if r, _ := first.get("/"); r.StatusCode != 200 {
		t.Errorf("%d on a new connection", r.StatusCode)
	}
	if got := asked(); len(got) != 1 {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// A server's name that a proxy could take for another host and port is none: nothing is asked of the proxy, and it gets no credentials.
func TestAProxyIsNotAskedForWhatIsNoHost(t *testing.T) {
	asked := make(chan string, 10)
	proxy := serve(t, func(_ int, p *peer) {
		line, _ := p.r.ReadString('\n') // other proxies may understand what net/http does not
		asked <- line
	})
	b := withCredentials("*.example.com", proxy)
	w := build(t, netip.MustParseAddrPort(dead+":443"), b)
	w.credentials = given("Aladdin", "open sesame")
	w.install(b)
	c := tls.Client(w.dial(), &tls.Config{ServerName: "secret.internal:443.example.com", InsecureSkipVerify: true})
	if err := c.Handshake(); err == nil {
		t.Error("there is a server")
	}
	select {
	case line := <-asked:
		t.Errorf("the proxy was asked %q", line)
	default:
	}
}
