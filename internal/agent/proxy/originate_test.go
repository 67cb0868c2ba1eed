package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// A pod speaks in the clear, and its server is spoken to over TLS: requests and responses of any size, on one connection after the other.
//
//enforces:originate to[].tls.mode
func TestOriginateSpeaksTLSForPods(t *testing.T) {
	a := tlstest.New(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			config := apiConfig(a)
			config.MaxVersion = version
			large := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
			w := originating(t, a, serveHTTPS(t, config, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/large" {
					_, _ = w.Write(large)
					return
				}
				sayTLS(w, r)
			}), toTLS(nil))
			c := w.dial()
			for range 3 {
				res, body := c.getAPI("/x")
				if want := "GET /x HTTP/1.1 host=api.example sni=api.example body=0"; res.StatusCode != 200 || body != want {
					t.Fatalf("got %d %q, want %q", res.StatusCode, body, want)
				}
			}
			c.send(fmt.Sprintf("PUT /up HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", apiHost, len(large)))
			go func() { _, _ = c.Write(large) }()
			if res, body := c.response("PUT"); res.StatusCode != 200 || !strings.HasSuffix(body, fmt.Sprintf("body=%d", len(large))) {
				t.Fatalf("got %d %q", res.StatusCode, body)
			}
			if res, body := c.getAPI("/large"); res.StatusCode != 200 || body != string(large) {
				t.Fatalf("got %d and %d bytes", res.StatusCode, len(body))
			}
			if n := w.dialer.dials.Load(); n != 1 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}

// The server's port is the one that the pod called, unless the policy names another one.
//
//enforces:originate to[].tls.port
func TestOriginateConnectsToThePortOfThePolicy(t *testing.T) {
	a := tlstest.New(t)
	server := serveHTTPS(t, apiConfig(a), sayTLS)
	called := netip.AddrPortFrom(server.Addr(), 80)
	w := originating(t, a, called, toTLS(func(b *policy.Binding) { b.To.TLS.Port = server.Port() }))
	if res, body := w.dial().getAPI("/"); res.StatusCode != 200 {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if e := w.seen.lastCall(t); e.Original != called || e.Attempts[0].Peer != server {
		t.Errorf("reported as a call to %v, at %v", e.Original, e.Attempts[0].Peer)
	}
}

// The name that is asked for and verified is the policy's, or else the host that is called.
//
//enforces:originate to[].tls.sni
func TestOriginateAsksForTheNameOfThePolicy(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	config.Certificates = []tls.Certificate{*a.Issue(nil, "other.example")}
	server := serveHTTPS(t, config, sayTLS)
	w := originating(t, a, server, toTLS(func(b *policy.Binding) { b.To.TLS.ServerName = "other.example" }))
	if res, body := w.dial().getAPI("/"); res.StatusCode != 200 || !strings.Contains(body, "host=api.example sni=other.example") {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	w.install(toTLS(nil))
	w.seen.forget(t)
	if res, _ := w.dial().getAPI("/"); res.StatusCode != 502 {
		t.Errorf("a certificate for another host is answered %d", res.StatusCode)
	}
	if e := w.seen.lastCall(t); e.Detail != routes.Detail(tlslayer.WrongHost) {
		t.Errorf("the detail is %q", e.Detail)
	}
}

// A wildcard policy verifies each host for the name that it was called by.
func TestOriginateVerifiesTheHostThatIsCalled(t *testing.T) {
	a := tlstest.New(t)
	server := serveHTTPS(t, apiConfig(a), sayTLS)
	w := originating(t, a, server, toTLS(func(b *policy.Binding) { b.To.Host = "*.example" }))
	for host, want := range map[string]int{"api.example": 200, "API.example.": 200, "api2.example": 502} {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if res, body := c.response("GET"); res.StatusCode != want {
			t.Errorf("%s is answered %d %q", host, res.StatusCode, body)
		}
	}
}

// What is wrong with TLS is known to the operator by its name, and not to the pod; nothing of it is retried.
//
//enforces:originate to[].tls.caBundleRef.name
func TestOriginateFailuresAreNamedAndNotRetried(t *testing.T) {
	a, other := tlstest.New(t), tlstest.New(t)
	with := func(c *tls.Certificate) func(*tls.Config) {
		return func(config *tls.Config) { config.Certificates = []tls.Certificate{*c} }
	}
	for name, tc := range map[string]struct {
		change func(*tls.Config)
		want   tlslayer.Reason
	}{
		"expired":                {with(a.Issue(tlstest.Expired, apiHost)), tlslayer.Expired},
		"self-signed":            {with(tlstest.SelfSigned(t, apiHost)), tlslayer.UnknownAuthority},
		"of another authority":   {with(other.Issue(nil, apiHost)), tlslayer.UnknownAuthority},
		"for another host":       {with(a.Issue(nil, "x.example")), tlslayer.WrongHost},
		"TLS 1.0 alone":          {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, tlslayer.Version},
		"wants a certificate":    {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, tlslayer.ClientCertificate},
		"wants one, and TLS 1.2": {func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, tlslayer.Handshake},
	} {
		t.Run(name, func(t *testing.T) {
			config := apiConfig(a)
			tc.change(config)
			w := originating(t, a, serveHTTPS(t, config, sayTLS), toTLS(nil))
			res, body := w.dial().getAPI("/")
			if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "tls" || strings.Contains(body, "certificate") {
				t.Errorf("answered %d, reason %q, %q", res.StatusCode, res.Header.Get("fairlead-reason"), body)
			}
			e := w.seen.lastCall(t)
			if e.Outcome.Kind != call.TLSFailed || e.Detail != routes.Detail(tc.want) || e.Outcome.Attempts != 1 || e.Outcome.Decision != call.NotRetryable {
				t.Errorf("reported as %+v, %q", e.Outcome, e.Detail)
			}
		})
	}
}

// A server that has broken off its handshake has not received anything: that is a failed connect, retried whatever the method.
func TestBrokenHandshakesAreRetried(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	for name, tc := range map[string]struct {
		fail func(*peer)
		want routes.Detail
	}{
		"reset":  {func(p *peer) { p.hello(); _ = p.SetLinger(0) }, routes.DetailResetInHandshake},
		"closed": {func(p *peer) { p.hello() }, routes.DetailClosedInHandshake},
	} {
		t.Run(name, func(t *testing.T) {
			w := originating(t, a, serve(t, func(n int, p *peer) {
				if n == 0 {
					tc.fail(p)
					return
				}
				s := tls.Server(p.TCPConn, config)
				_, _ = s.Read(make([]byte, 1000))
				_, _ = io.WriteString(s, answer(200, "fine"))
				_ = s.Close()
			}), toTLS(nil))
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 1\r\n\r\nx")
			if res, body := c.response("POST"); res.StatusCode != 200 || body != "fine" {
				t.Fatalf("got %d %q", res.StatusCode, body)
			}
			e := w.seen.lastCall(t)
			if len(e.Attempts) != 2 || e.Attempts[0].Kind != call.ConnectFailed || e.Attempts[0].Detail != tc.want {
				t.Errorf("the attempts are %+v", e.Attempts)
			}
		})
	}
}

// hello reads a client's first record.
func (p *peer) hello() {
	head := make([]byte, 5)
	if _, err := io.ReadFull(p, head); err == nil {
		_, _ = io.CopyN(io.Discard, p, int64(head[3])<<8|int64(head[4]))
	}
}

// A handshake has a time of its own, beside that for connecting.
//
//enforces:originate timeouts.tlsHandshake
func TestHandshakesEndInTime(t *testing.T) {
	a := tlstest.New(t)
	w := originating(t, a, stalling(t), toTLS(func(b *policy.Binding) {
		b.Base.Timeouts.Connect, b.Base.Timeouts.TLSHandshake = time.Hour, 20*time.Millisecond
		b.Base.Retry.MaxRetries = 1
	}))
	res, _ := w.dial().getAPI("/")
	if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "connect_failure" {
		t.Errorf("answered %d, reason %q", res.StatusCode, res.Header.Get("fairlead-reason"))
	}
	e := w.seen.lastCall(t)
	if e.Outcome.Kind != call.ConnectTimeout || e.Detail != routes.DetailTLSHandshake || e.Outcome.Attempts != 2 {
		t.Errorf("reported as %+v, %q", e.Outcome, e.Detail)
	}
}

// Whatever else bounds a call bounds the handshake too.
func TestHandshakesEndWithTheirCalls(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		change func(*policy.Timeouts)
		want   routes.Detail
	}{
		"perTry":  {func(t *policy.Timeouts) { t.PerTry = 20 * time.Millisecond }, routes.DetailPerTry},
		"overall": {func(t *policy.Timeouts) { t.Overall = 20 * time.Millisecond }, routes.DetailOverall},
	} {
		t.Run(name, func(t *testing.T) {
			w := originating(t, a, stalling(t), toTLS(func(b *policy.Binding) {
				b.Base.Timeouts.TLSHandshake, b.Base.Retry.MaxRetries = time.Hour, 0
				tc.change(&b.Base.Timeouts)
			}))
			if res, _ := w.dial().getAPI("/"); res.StatusCode != 504 {
				t.Errorf("answered %d", res.StatusCode)
			}
			if e := w.seen.lastCall(t); e.Detail != tc.want {
				t.Errorf("the detail is %q", e.Detail)
			}
		})
	}
	t.Run("the client leaves", func(t *testing.T) {
		w := originating(t, a, stalling(t), toTLS(func(b *policy.Binding) { b.Base.Timeouts.TLSHandshake = time.Hour }))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
		w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 })
		c.Close()
		if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone {
			t.Errorf("reported as %+v", e.Outcome)
		}
	})
}

// A server that asks for a client certificate gets the policy's.
//
//enforces:originate to[].tls.clientCertificateRef.name
func TestOriginatePresentsTheCertificateOfThePolicy(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	server := serveHTTPS(t, config, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
	})
	named := toTLS(func(b *policy.Binding) { b.To.TLS.Certificate = "client" })
	w := originating(t, a, server, named)
	if res, _ := w.dial().getAPI("/"); res.StatusCode != 502 {
		t.Errorf("without the certificate it is answered %d", res.StatusCode)
	}
	if e := w.seen.lastCall(t); e.Detail != routes.Detail(tlslayer.NoKeyPair) {
		t.Errorf("the detail is %q", e.Detail)
	}
	w.present(a.Issue(nil, "pod.example"))
	w.install(named)
	if res, body := w.dial().getAPI("/"); res.StatusCode != 200 || body != "pod.example" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// Certificates that the agent does not have are trusted by nobody and replaced by none.
func TestOriginateWithoutTheRootsOfThePolicy(t *testing.T) {
	a := tlstest.New(t)
	w := build(t, serveHTTPS(t, apiConfig(a), sayTLS))
	w.install(toTLS(nil))
	if res, _ := w.dial().getAPI("/"); res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "tls" {
		t.Errorf("answered %d", res.StatusCode)
	}
	if e := w.seen.lastCall(t); e.Detail != routes.Detail(tlslayer.NoRoots) {
		t.Errorf("the detail is %q", e.Detail)
	}
}

// A pod that speaks TLS by itself verifies its server by itself, and is not disturbed.
func TestOriginateLeavesTLSOfPodsAlone(t *testing.T) {
	a := tlstest.New(t)
	w := originating(t, a, serveHTTPS(t, apiConfig(a), sayTLS), toTLS(nil))
	client := &http.Client{Transport: &http.Transport{
		DialContext:     (&net.Dialer{}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: a.Pool(), ServerName: apiHost},
		Proxy:           nil, DisableKeepAlives: true,
	}}
	res, err := client.Get("https://" + w.captured.Addr().String() + "/own")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), "GET /own") || w.events.passed[PassedTLS].Load() != 1 {
		t.Errorf("got %q, %d passed", body, w.events.passed[PassedTLS].Load())
	}
}

// An answer whose end is that of the connection is whole if the server has said so: otherwise somebody on the way may have cut it.
func TestAnEndThatIsNotAnnouncedCutsTheAnswer(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	for name, announced := range map[string]bool{"announced": true, "not announced": false} {
		t.Run(name, func(t *testing.T) {
			w := originating(t, a, serve(t, func(_ int, p *peer) {
				s := tls.Server(p.TCPConn, config)
				_, _ = s.Read(make([]byte, 1000))
				_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody")
				if announced {
					_ = s.CloseWrite()
				}
			}), toTLS(nil))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
			res, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if (err == nil) != announced || announced && string(body) != "body" {
				t.Errorf("read %q, %v", body, err)
			}
			if e := w.seen.lastCall(t); e.Outcome.Truncated == announced {
				t.Errorf("reported as %+v", e.Outcome)
			}
		})
	}
}

// TLS that cannot be is a failure to connect for the breaker, though it is not retried.
func TestFailuresOfTLSOpenTheBreaker(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	config.Certificates = []tls.Certificate{*a.Issue(tlstest.Expired, apiHost)}
	w := originating(t, a, serveHTTPS(t, config, sayTLS), toTLS(func(b *policy.Binding) {
		breaker := policy.DefaultBreaker()
		breaker.ConsecutiveFailures, breaker.FailureOn = 2, policy.Of(policy.ConnectFailure)
		b.Base.Breaker = &breaker
	}))
	for i, want := range []string{"tls", "tls", "circuit_open"} {
		if res, _ := w.dial().getAPI("/"); res.Header.Get("fairlead-reason") != want {
			t.Errorf("call %d is answered %q, want %q", i, res.Header.Get("fairlead-reason"), want)
		}
	}
}

// Where such a policy governs connections as a whole, one that the pod secures by itself is governed, and not secured a second time.
func TestOriginateDoesNotSecureWhatIsSecured(t *testing.T) {
	a := tlstest.New(t)
	w := originating(t, a, serveHTTPS(t, apiConfig(a), sayTLS), toTLS(func(b *policy.Binding) {
		b.To.Kind, b.To.Host, b.To.TLS.Port = policy.TargetAny, "", 1
	}))
	c := tls.Client(w.dial(), &tls.Config{RootCAs: a.Pool(), ServerName: apiHost})
	_, _ = io.WriteString(c, "GET /own HTTP/1.1\r\nHost: "+apiHost+"\r\nConnection: close\r\n\r\n")
	if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "GET /own") {
		t.Errorf("got %q, %v", got, err)
	}
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.OK || len(e.Attempts) != 1 || e.Attempts[0].Peer != w.original {
		t.Errorf("reported as %+v, %+v", e.Outcome, e.Attempts)
	}
}
