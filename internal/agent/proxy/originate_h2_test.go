package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// clearHTTP2 returns a client that speaks HTTP/2 in the clear to whatever it calls, by way of the proxy.
func (w *testProxy) clearHTTP2() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", w.captured.Addr().String())
	}}
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func (w *testProxy) getHTTP2(c *http.Client, path string) (*http.Response, string) {
	w.t.Helper()
	res, err := c.Get("http://" + apiHost + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(body)
}

func http2TLS(b *policy.Binding) { b.To.Protocol = policy.ProtocolHTTP2 }

// What pods speak in HTTP/2 goes out in HTTP/2: many calls at a time on one connection, on the port of the policy.
//
//enforces:originate to[].tls.mode to[].tls.port
func TestOriginateSpeaksHTTP2ForPods(t *testing.T) {
	a := tlstest.New(t)
	large := strings.Repeat("0123456789abcdef", 40_000)
	server := serveHTTPS(t, apiConfig(a), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = io.WriteString(w, large)
			return
		}
		sayTLS(w, r)
	})
	w := originating(t, a, netip.AddrPortFrom(server.Addr(), 80), toTLS(func(b *policy.Binding) {
		http2TLS(b)
		b.To.TLS.Port = server.Port()
	}))
	c := w.clearHTTP2()
	if _, body := w.getHTTP2(c, "/x"); body != "GET /x HTTP/2.0 host=api.example sni=api.example body=0" {
		t.Fatalf("got %q", body)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			res, err := c.Get("http://" + apiHost + "/large")
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != large {
				t.Errorf("got %d bytes, %v", len(body), err)
			}
		})
	}
	all.Wait()
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

// Failures are named as for HTTP/1, and a server that speaks HTTP/1 alone is one.
func TestOriginateFailuresOfHTTP2(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		change func(*tls.Config)
		want   tlslayer.Reason
	}{
		"expired":      {func(c *tls.Config) { c.Certificates = []tls.Certificate{*a.Issue(tlstest.Expired, apiHost)} }, tlslayer.Expired},
		"HTTP/1 alone": {func(c *tls.Config) { c.NextProtos = []string{tlslayer.HTTP1} }, tlslayer.ALPN},
		"no ALPN":      {func(*tls.Config) {}, tlslayer.ALPN},
	} {
		t.Run(name, func(t *testing.T) {
			config := apiConfig(a)
			tc.change(config)
			w := originating(t, a, serve(t, func(_ int, p *peer) { _ = tls.Server(p.TCPConn, config).Handshake() }), toTLS(http2TLS))
			res, _ := w.getHTTP2(w.clearHTTP2(), "/")
			if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "tls" {
				t.Errorf("answered %d, reason %q", res.StatusCode, res.Header.Get("fairlead-reason"))
			}
			if e := w.seen.lastCall(t); e.Outcome.Kind != call.TLSFailed || e.Detail != routes.Detail(tc.want) || e.Outcome.Attempts != 1 {
				t.Errorf("reported as %+v, %q", e.Outcome, e.Detail)
			}
		})
	}
}

//enforces:originate to[].tls.sni
func TestOriginateAsksForTheNameOfThePolicyOverHTTP2(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	config.Certificates = []tls.Certificate{*a.Issue(nil, "other.example")}
	w := originating(t, a, serveHTTPS(t, config, sayTLS), toTLS(func(b *policy.Binding) {
		http2TLS(b)
		b.To.TLS.ServerName = "other.example"
	}))
	if res, body := w.getHTTP2(w.clearHTTP2(), "/"); res.StatusCode != 200 || !strings.Contains(body, "host=api.example sni=other.example") {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

//enforces:originate to[].tls.caBundleRef.name
func TestOriginateTrustsWhatThePolicyTrustsOverHTTP2(t *testing.T) {
	a := tlstest.New(t)
	w := originating(t, a, serveHTTPS(t, apiConfig(a), sayTLS), toTLS(http2TLS))
	if res, _ := w.getHTTP2(w.clearHTTP2(), "/"); res.StatusCode != 200 {
		t.Errorf("its own authority: %d", res.StatusCode)
	}
	w = originating(t, tlstest.New(t), serveHTTPS(t, apiConfig(a), sayTLS), toTLS(http2TLS))
	w.getHTTP2(w.clearHTTP2(), "/")
	if e := w.seen.lastCall(t); e.Detail != routes.Detail(tlslayer.UnknownAuthority) {
		t.Errorf("another authority: %+v, %q", e.Outcome, e.Detail)
	}
}

//enforces:originate to[].tls.clientCertificateRef.name
func TestOriginatePresentsTheCertificateOfThePolicyOverHTTP2(t *testing.T) {
	a := tlstest.New(t)
	config := apiConfig(a)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	server := serveHTTPS(t, config, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+r.TLS.PeerCertificates[0].DNSNames[0])
	})
	w := build(t, server)
	w.trust(a)
	w.present(a.Issue(nil, "pod.example"))
	w.install(toTLS(func(b *policy.Binding) {
		http2TLS(b)
		b.To.TLS.Certificate = "client"
	}))
	if res, body := w.getHTTP2(w.clearHTTP2(), "/"); res.StatusCode != 200 || body != "HTTP/2.0 pod.example" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

//enforces:originate timeouts.tlsHandshake
func TestHandshakesEndInTimeOverHTTP2(t *testing.T) {
	w := originating(t, tlstest.New(t), stalling(t), toTLS(func(b *policy.Binding) {
		http2TLS(b)
		b.Base.Timeouts.Connect, b.Base.Timeouts.TLSHandshake = time.Hour, 20*time.Millisecond
		b.Base.Retry.MaxRetries = 1
	}))
	c := w.clearHTTP2()
	c.Timeout = patience
	res, _ := w.getHTTP2(c, "/")
	if res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "connect_failure" {
		t.Errorf("answered %d, reason %q", res.StatusCode, res.Header.Get("fairlead-reason"))
	}
	e := w.seen.lastCall(t)
	if e.Outcome.Kind != call.ConnectTimeout || e.Detail != routes.DetailTLSHandshake || e.Outcome.Attempts != 2 {
		t.Errorf("reported as %+v, %q", e.Outcome, e.Detail)
	}
}
