package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// A pod speaks TLS, with a certificate of the node's issuer, and so does the agent with the host, which it verifies: each call inside is governed.
//
//enforces:intercept to[].tls.mode to[].tls.caBundleRef.name
func TestInterceptGovernsCallsInsideTLS(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	for name, tc := range map[string]struct {
		protocol policy.Protocol
		change   func(*tls.Config)
		want     string
	}{
		"HTTP/1 over TLS 1.3": {policy.ProtocolHTTP, nil, "HTTP/1.1"},
		"HTTP/1 over TLS 1.2": {policy.ProtocolHTTP, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "HTTP/1.1"},
		"HTTP/2 over TLS 1.3": {policy.ProtocolHTTP2, nil, "HTTP/2.0"},
		"HTTP/2 over TLS 1.2": {policy.ProtocolHTTP2, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			as := authorities(t)
			var calls atomic.Int64
			server := serveHTTPS(t, apiConfig(as.hosts), func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/large":
					_, _ = w.Write(large)
				case calls.Add(1) == 1:
					w.WriteHeader(503)
				default:
					sayTLS(w, r)
				}
			})
			w := intercepting(t, as, server, toIntercept(func(b *policy.Binding) {
				b.To.Protocol = tc.protocol
				b.Base.Retry.StatusCodes = []policy.StatusRange{{From: 503, To: 503}}
			}))
			c := w.https(as.egress, tc.change)
			res, body := mustFetch(t, c, "/x")
			if want := "GET /x " + tc.want + " host=api.example sni=api.example body=0"; res.StatusCode != 200 || body != want || res.Proto != tc.want {
				t.Fatalf("got %d %s %q, want %q", res.StatusCode, res.Proto, body, want)
			}
			if !interceptedBy(res) {
				t.Error("the certificate is not the agent's")
			}
			if e := w.seen.lastCall(t); e.Outcome.Attempts != 2 || e.Outcome.Kind != call.OK {
				t.Errorf("reported as %+v", e.Outcome)
			}
			up, err := c.Post("https://"+apiHost+"/up", "text/plain", bytes.NewReader(large))
			if err != nil {
				t.Fatal(err)
			}
			said, err := io.ReadAll(up.Body)
			_ = up.Body.Close()
			if err != nil || !strings.HasSuffix(string(said), fmt.Sprintf("body=%d", len(large))) {
				t.Fatalf("got %q, %v", said, err)
			}
			if _, body := mustFetch(t, c, "/large"); body != string(large) {
				t.Errorf("got %d bytes", len(body))
			}
			if n := w.events.passed[PassedTLS].Load(); n != 0 {
				t.Errorf("%d connections passed", n)
			}
			w.handshakes(routes.HandshakeDone, 1)
		})
	}
}

// What the client and the policy have in common is spoken; who has nothing in common with it, or cannot be served for another reason, passes
// to its server as it is.
func TestRule00_ClientsThatCannotBeInterceptedPass(t *testing.T) {
	offer := func(protocols ...string) func(*tls.Config) { return func(c *tls.Config) { c.NextProtos = protocols } }
	for name, tc := range map[string]struct {
		protocol policy.Protocol
		change   func(*tls.Config)
		passes   bool
		alpn     string // that is agreed on
	}{
		"both, HTTP":         {policy.ProtocolHTTP, offer("h2", "http/1.1"), false, "http/1.1"},
		"both, HTTP2":        {policy.ProtocolHTTP2, offer("http/1.1", "h2"), false, "h2"},
		"both, GRPC":         {policy.ProtocolGRPC, offer("h2", "http/1.1"), false, "h2"},
		"none, HTTP":         {policy.ProtocolHTTP, offer(), false, ""},
		"none, HTTP2":        {policy.ProtocolHTTP2, offer(), true, ""},
		"HTTP/2 alone, HTTP": {policy.ProtocolHTTP, offer("h2"), true, "h2"},
		"HTTP/1, HTTP2":      {policy.ProtocolHTTP2, offer("http/1.1"), true, "http/1.1"},
		"something else":     {policy.ProtocolHTTP, offer("mqtt"), true, "mqtt"},
		"TLS 1.1": {policy.ProtocolHTTP, func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, true, ""},
		"no name":          {policy.ProtocolHTTP, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true }, true, ""},
		"an address":       {policy.ProtocolHTTP, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "127.0.0.1", true }, true, ""},
		"another name":     {policy.ProtocolHTTP, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "other.example", true }, true, ""},
		"in upper case":    {policy.ProtocolHTTP, func(c *tls.Config) { c.ServerName = "API.example" }, false, ""},
		"small hello":      {policy.ProtocolHTTP, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, false, ""},
		"a key share anew": {policy.ProtocolHTTP, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521, tls.CurveP384} }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			as := authorities(t)
			config := apiConfig(as.hosts)
			config.NextProtos, config.MinVersion = []string{"h2", "http/1.1", "mqtt"}, tls.VersionTLS10
			server := serve(t, func(_ int, p *peer) {
				s := tls.Server(p.TCPConn, config)
				if s.Handshake() == nil {
					_, _ = io.Copy(io.Discard, s)
				}
			})
			w := intercepting(t, as, server, toIntercept(func(b *policy.Binding) { b.To.Protocol = tc.protocol }))
			trusted := as.egress
			if tc.passes {
				trusted = as.hosts
			}
			c := w.secure(trusted, tc.change)
			if got := c.ConnectionState().NegotiatedProtocol; got != tc.alpn {
				t.Errorf("agreed on %q, want %q", got, tc.alpn)
			}
			passed := int64(0)
			if tc.passes {
				passed = 1
			}
			if n := w.events.passed[PassedTLS].Load(); n != passed {
				t.Errorf("%d connections passed", n)
			}
		})
	}
}

// A host that cannot be verified is not called, whatever the pod would have thought of it.
func TestInterceptVerifiesTheHost(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(as twoCAs, c *tls.Config)
		want   tlslayer.Reason
	}{
		"of the egress CA": {func(as twoCAs, c *tls.Config) { c.Certificates = []tls.Certificate{*as.egress.Issue(nil, apiHost)} }, tlslayer.UnknownAuthority},
		"expired": {func(as twoCAs, c *tls.Config) {
			c.Certificates = []tls.Certificate{*as.hosts.Issue(tlstest.Expired, apiHost)}
		}, tlslayer.Expired},
		"for another host": {func(as twoCAs, c *tls.Config) { c.Certificates = []tls.Certificate{*as.hosts.Issue(nil, "x.example")} }, tlslayer.WrongHost},
	} {
		t.Run(name, func(t *testing.T) {
			as := authorities(t)
			config := apiConfig(as.hosts)
			tc.change(as, config)
			w := intercepting(t, as, serveHTTPS(t, config, sayTLS), toIntercept(nil))
			res, body := mustFetch(t, w.https(as.egress, nil), "/")
			if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "tls" || strings.Contains(body, "certificate") {
				t.Errorf("answered %d, reason %q, %q", res.StatusCode, res.Header.Get("fairlead-reason"), body)
			}
			if e := w.seen.lastCall(t); e.Detail != routes.Detail(tc.want) || e.Outcome.Attempts != 1 {
				t.Errorf("reported as %+v, %q", e.Outcome, e.Detail)
			}
		})
	}
}

// What a pod sends in the clear to a host stays what it is, and never shares a connection, or anything else, with what it sends over TLS.
func TestRule25_InterceptedAndPlainCallsShareNoConnection(t *testing.T) {
	as := authorities(t)
	config := apiConfig(as.hosts)
	server := serve(t, func(n int, p *peer) {
		first, err := p.r.Peek(1)
		if err != nil {
			return
		}
		if first[0] != 22 {
			for {
				if _, _, ok := p.request(); !ok {
					return
				}
				p.ok(fmt.Sprintf("plain on %d", n))
			}
		}
		s := tls.Server(readAhead{p.TCPConn, p.r}, config)
		for r := bufio.NewReader(s); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(s, answer(200, fmt.Sprintf("TLS on %d", n)))
		}
	})
	w := intercepting(t, as, server, toIntercept(nil))
	plain, secure := w.dial(), w.https(as.egress, nil)
	for i, want := range []string{"plain on 0", "TLS on 1", "plain on 0", "TLS on 1"} {
		var body string
		if strings.HasPrefix(want, "plain") {
			_, body = plain.getAPI("/")
		} else {
			_, body = mustFetch(t, secure, "/")
		}
		if body != want {
			t.Errorf("call %d is answered %q, want %q", i, body, want)
		}
	}
}

// readAhead is a connection of which something was read.
type readAhead struct {
	net.Conn
	r *bufio.Reader
}

func (c readAhead) Read(p []byte) (int, error) { return c.r.Read(p) }

// The name that the connection is for governs every request inside it, whatever host that names: where it goes, for whom the server is
// verified, and by which policy.
func TestRule09_TheServerNameGovernsWhatIsInside(t *testing.T) {
	as := authorities(t)
	var calls atomic.Int64
	server := serveHTTPS(t, apiConfig(as.hosts), func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%2 == 1 {
			w.WriteHeader(503)
			return
		}
		sayTLS(w, r)
	})
	other := toIntercept(func(b *policy.Binding) {
		b.Key, b.To.Host, b.Base.Retry.MaxRetries = "other", "other.example", 0
	})
	w := intercepting(t, as, server, other, toIntercept(func(b *policy.Binding) {
		b.Base.Retry.StatusCodes = []policy.StatusRange{{From: 503, To: 503}}
	}))
	c := w.secure(as.egress, nil)
	for _, host := range []string{"other.example", "unknown.example", apiHost} {
		q := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Host: host, ProtoMajor: 1, ProtoMinor: 1}
		if err := q.Write(c); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), q)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if want := "GET / HTTP/1.1 host=" + host + " sni=api.example body=0"; res.StatusCode != 200 || string(body) != want {
			t.Errorf("got %d %q, want %q", res.StatusCode, body, want)
		}
	}
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

// A policy that comes before, and leaves TLS alone, is not overruled.
func TestInterceptConcernsTheGoverningPolicyAlone(t *testing.T) {
	as := authorities(t)
	first := toIntercept(func(b *policy.Binding) { b.Key, b.To.TLS, b.To.Protocol = "first", policy.TLS{}, policy.ProtocolAuto })
	w := intercepting(t, as, serveHTTPS(t, apiConfig(as.hosts), sayTLS), first, toIntercept(func(b *policy.Binding) { b.To.Host = "*" }))
	if res, _ := mustFetch(t, w.https(as.hosts, nil), "/"); interceptedBy(res) {
		t.Error("it is intercepted")
	}
	if n := w.events.passed[PassedTLS].Load(); n != 1 {
		t.Errorf("%d connections passed", n)
	}
}

// A connection that turns into something else inside TLS goes on to its end.
func TestRule29_UpgradesInsideInterceptedTLS(t *testing.T) {
	as := authorities(t)
	config := apiConfig(as.hosts)
	server := serve(t, func(_ int, p *peer) {
		s := tls.Server(p.TCPConn, config)
		r := bufio.NewReader(s)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(s, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(s, r)
		_ = s.CloseWrite()
	})
	w := intercepting(t, as, server, toIntercept(nil))
	c := w.secure(as.egress, nil)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	large := bytes.Repeat([]byte("0123456789"), 30_000)
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = c.Write(large); _ = c.CloseWrite() })
	got, err := io.ReadAll(r)
	sending.Wait()
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// A request that cannot be understood is refused inside TLS, and passed to nobody.
func TestRule27_MalformedRequestsInsideInterceptedTLS(t *testing.T) {
	as := authorities(t)
	w := intercepting(t, as, serveHTTPS(t, apiConfig(as.hosts), sayTLS), toIntercept(nil))
	c := w.secure(as.egress, nil)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: elsewhere.example\r\nHost : x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 400 {
		t.Errorf("got %v, %v", res, err)
	}
	if n := w.dialer.dials.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}
