package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// undecided has the policy leave open what is spoken inside.
func undecided(b *policy.Binding) { b.To.Protocol = policy.ProtocolAuto }

// host is a server whose protocols can be changed, for connections that come.
type host struct {
	addr  netip.AddrPort
	http1 atomic.Bool  // it speaks HTTP/1.1 alone
	asked atomic.Int64 // how often it was offered both
}

// serveHost starts a server that speaks both protocols.
func serveHost(t testing.TB, config *tls.Config) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	h := &host{addr: netip.MustParseAddrPort(l.Addr().String())}
	both, one := config.Clone(), config.Clone()
	both.NextProtos, one.NextProtos = []string{"h2", "http/1.1"}, []string{"http/1.1"}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) > 1 {
			h.asked.Add(1)
		}
		if h.http1.Load() {
			return one, nil
		}
		return both, nil
	}
	s := &http.Server{Handler: http.HandlerFunc(sayTLS), TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.ServeTLS(l, "", "") })
	t.Cleanup(func() { _ = s.Close(); wg.Wait() })
	return h
}

// active is how many connections to servers are in use.
func (w *testProxy) active() (n int) {
	w.store.Stats(time.Now(), func(s routes.Stats) { n += s.Pool.Active })
	return n
}

// agreed connects as a client that offers protocols, calls the host, and returns what was agreed on and what the host was called in.
func (w *testProxy) agreed(as twoCAs, offered ...string) (alpn, said string) {
	w.t.Helper()
	c := w.secure(as.egress, func(c *tls.Config) { c.NextProtos = offered })
	defer c.Close()
	alpn = c.ConnectionState().NegotiatedProtocol
	if alpn == "h2" {
		s := must(http2test.Speak(w.t, c, http2test.Options{}).Get(apiHost, "/", nil))(w.t)
		if status, head := statusOf(w.t, s); status != "200" {
			return alpn, head.Get("fairlead-reason")
		}
		return alpn, string(must(s.Body())(w.t))
	}
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n")
	check(w.t, err)
	res := must(http.ReadResponse(bufio.NewReader(c), nil))(w.t)
	defer res.Body.Close()
	if res.StatusCode != 200 {
		return alpn, res.Header.Get("fairlead-reason")
	}
	return alpn, string(must(io.ReadAll(res.Body))(w.t))
}

// Where the policy leaves it open, client and host agree on what they would agree on without the agent.
func TestRule00_TheHostChoosesTheProtocolInsideInterceptedTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		offered []string
		http1   bool // the host speaks nothing else
		alpn    string
		said    string
		dials   int64 // for two clients, one after the other
	}{
		"both, and so does the host":     {[]string{"h2", "http/1.1"}, false, "h2", "HTTP/2.0", 2},
		"both, the host HTTP/1.1":        {[]string{"h2", "http/1.1"}, true, "http/1.1", "HTTP/1.1", 1},
		"both and another":               {[]string{"h3", "http/1.1", "h2"}, false, "h2", "HTTP/2.0", 2},
		"HTTP/1.1, the host both":        {[]string{"http/1.1"}, false, "http/1.1", "HTTP/1.1", 1},
		"HTTP/2, the host both":          {[]string{"h2"}, false, "h2", "HTTP/2.0", 1},
		"nothing, the host both":         {nil, false, "", "HTTP/1.1", 1},
		"nothing, and the host HTTP/1.1": {nil, true, "", "HTTP/1.1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			as := authorities(t)
			h := serveHost(t, apiConfig(as.hosts))
			h.http1.Store(tc.http1)
			w := intercepting(t, as, h.addr, toIntercept(undecided))
			for range 2 {
				alpn, said := w.agreed(as, tc.offered...)
				if want := "GET / " + tc.said + " host=api.example sni=api.example body=0"; alpn != tc.alpn || said != want {
					t.Errorf("agreed on %q and got %q, want %q and %q", alpn, said, tc.alpn, want)
				}
				poll(t, func() bool { return w.active() == 0 }) // until the connection can serve another client
			}
			if n := w.dialer.dials.Load(); n != tc.dials {
				t.Errorf("%d connections were made, want %d", n, tc.dials)
			}
		})
	}
}

// What is declared is what is spoken, whatever the two would agree on.
//
//enforces:intercept to[].protocol
func TestADeclaredProtocolIsSpokenInsideInterceptedTLS(t *testing.T) {
	for protocol, want := range map[policy.Protocol]string{policy.ProtocolHTTP: "http/1.1", policy.ProtocolHTTP2: "h2", policy.ProtocolAuto: "h2"} {
		as := authorities(t)
		h := serveHost(t, apiConfig(as.hosts))
		w := intercepting(t, as, h.addr, toIntercept(func(b *policy.Binding) { b.To.Protocol = protocol }))
		if alpn, _ := w.agreed(as, "h2", "http/1.1"); alpn != want {
			t.Errorf("%v: agreed on %q, want %q", protocol, alpn, want)
		}
	}
}

// A host that agrees on nothing is called in HTTP/1.1, and so is one that cannot be asked: the call fails then as it would fail anyway. The
// next clients do not wait for another question.
func TestHostsThatSayNothingAreCalledInHTTP1(t *testing.T) {
	as := authorities(t)
	config := apiConfig(as.hosts)
	silent := serve(t, func(_ int, p *peer) {
		s := tls.Server(p.TCPConn, config)
		for r := bufio.NewReader(s); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(s, answer(200, "fine"))
		}
	})
	w := intercepting(t, as, silent, toIntercept(undecided))
	if alpn, said := w.agreed(as, "h2", "http/1.1"); alpn != "http/1.1" || said != "fine" {
		t.Errorf("agreed on %q, got %q", alpn, said)
	}
	h := serveHost(t, apiConfig(as.hosts))
	w = intercepting(t, as, h.addr, toIntercept(func(b *policy.Binding) { undecided(b); b.Base.Retry.MaxRetries = 0 }))
	w.dialer.refuse.Store(2) // the question, and the call
	if alpn, said := w.agreed(as, "h2", "http/1.1"); alpn != "http/1.1" || said != "connect_failure" {
		t.Errorf("agreed on %q, got %q", alpn, said)
	}
	if alpn, said := w.agreed(as, "h2", "http/1.1"); alpn != "http/1.1" || said != "GET / HTTP/1.1 host=api.example sni=api.example body=0" {
		t.Errorf("agreed on %q and got %q later", alpn, said)
	}
	if n := w.dialer.dials.Load(); n != 3 {
		t.Errorf("%d connections were made, want one for the question and two for calls", n)
	}
}

// A host that has changed is asked again after one call that fails for it, or when what is known is old.
func TestAHostThatChangesItsProtocolIsAskedAgain(t *testing.T) {
	as := authorities(t)
	h := serveHost(t, apiConfig(as.hosts))
	w := intercepting(t, as, h.addr, toIntercept(func(b *policy.Binding) {
		undecided(b)
		b.Base.Pool.MaxRequestsPerConnection = 1
	}))
	if alpn, _ := w.agreed(as, "h2", "http/1.1"); alpn != "h2" {
		t.Fatalf("agreed on %q", alpn)
	}
	h.http1.Store(true)
	if alpn, said := w.agreed(as, "h2", "http/1.1"); alpn != "h2" || said != "tls" {
		t.Errorf("agreed on %q, got %q", alpn, said)
	}
	if alpn, said := w.agreed(as, "h2", "http/1.1"); alpn != "http/1.1" || said == "tls" {
		t.Errorf("agreed on %q, got %q", alpn, said)
	}
}

// Of clients that come at the same time one has the host asked.
func TestAHostIsAskedOnce(t *testing.T) {
	as := authorities(t)
	h := serveHost(t, apiConfig(as.hosts))
	w := intercepting(t, as, h.addr, toIntercept(undecided))
	w.dialer.slow.Store(int64(50 * time.Millisecond))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			c := tls.Client(w.dial(), &tls.Config{RootCAs: as.egress.Pool(), ServerName: apiHost, NextProtos: []string{"h2", "http/1.1"}})
			if err := c.Handshake(); err != nil || c.ConnectionState().NegotiatedProtocol != "h2" {
				t.Errorf("%v, agreed on %q", err, c.ConnectionState().NegotiatedProtocol)
			}
		})
	}
	all.Wait()
	if n := h.asked.Load(); n != 1 { // a connection alone is no question: one is made for a client, too, that is slow to speak
		t.Errorf("it was asked %d times", n)
	}
}

// A client that leaves while the host is asked ends that, and the next one has it asked again.
func TestAClientThatLeavesWhileTheHostIsAsked(t *testing.T) {
	as := authorities(t)
	h := serveHost(t, apiConfig(as.hosts))
	w := intercepting(t, as, h.addr, toIntercept(undecided))
	w.dialer.slow.Store(int64(time.Hour))
	leaving := w.dial()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = tls.Client(leaving, &tls.Config{ServerName: apiHost, NextProtos: []string{"h2", "http/1.1"}, RootCAs: as.egress.Pool()}).Handshake()
	}()
	w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 })
	_ = leaving.SetLinger(0)
	leaving.Close()
	<-sent
	w.dialer.slow.Store(0)
	if alpn, _ := w.agreed(as, "h2", "http/1.1"); alpn != "h2" {
		t.Errorf("agreed on %q", alpn)
	}
}

// The question is one of the pool's connections: where the policy allows no more of them, it is not asked.
func TestAHostIsAskedWithinTheLimits(t *testing.T) {
	as := authorities(t)
	g := newGate()
	config := apiConfig(as.hosts)
	w := intercepting(t, as, serve(t, func(n int, p *peer) {
		p.put(tls.Server(p.TCPConn, config))
		p.r = bufio.NewReader(p)
		g.serve(n, p)
	}), toIntercept(func(b *policy.Binding) { undecided(b); b.Base.Pool.MaxConnections = 1 }))
	defer g.open()
	first := w.secure(as.egress, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
	_, err := io.WriteString(first, "GET /held HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n")
	check(t, err)
	w.expect(g.arrived, "the call does not arrive")
	if alpn := w.secure(as.egress, func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }).ConnectionState().NegotiatedProtocol; alpn != "http/1.1" {
		t.Errorf("agreed on %q", alpn)
	}
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

// Through a proxy the host is asked through it.
func TestAHostIsAskedThroughTheProxy(t *testing.T) {
	as := authorities(t)
	h := serveHost(t, apiConfig(as.hosts))
	proxy, asked := tunnelling(t, h.addr, connects)
	w := intercepting(t, as, netip.MustParseAddrPort(dead+":443"), toIntercept(func(b *policy.Binding) {
		undecided(b)
		b.To.Via = policy.Via{Host: proxy.Addr().String(), Port: proxy.Port()}
	}))
	if alpn, said := w.agreed(as, "h2", "http/1.1"); alpn != "h2" || said != "GET / HTTP/2.0 host=api.example sni=api.example body=0" {
		t.Errorf("agreed on %q, got %q", alpn, said)
	}
	if got := asked(); len(got) != 2 || got[0] != "CONNECT api.example:443" || got[1] != got[0] {
		t.Errorf("the proxy was asked for %q", got)
	}
}
