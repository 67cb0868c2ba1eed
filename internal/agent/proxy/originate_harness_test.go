package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// apiHost is the host that pods call in the clear and the agent over TLS.
const apiHost = "api.example"

// toTLS is a binding for apiHost to which the agent speaks TLS.
func toTLS(change func(*policy.Binding)) policy.Binding {
	b := toAny(nil)
	b.To = policy.Target{
		Kind: policy.TargetHost, Host: apiHost, Protocol: policy.ProtocolHTTP, TLS: policy.TLS{Mode: policy.TLSOriginate, Roots: "ca"},
	}
	b.Base.Retry.On = policy.Of(policy.ConnectFailure, policy.Reset)
	if change != nil {
		change(&b)
	}
	return b
}

// originating starts a proxy whose policy has the agent speak TLS, with an authority that the policy trusts.
func originating(t testing.TB, a *tlstest.Authority, server netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	w := build(t, server)
	w.trust(a)
	w.install(bindings...)
	return w
}

// trust has the policy trust these authorities alone, from the next install on.
func (w *testProxy) trust(all ...*tlstest.Authority) {
	roots := &policy.Roots{Name: "ca"}
	for _, a := range all {
		roots.Certificates = append(roots.Certificates, a.Root().Raw)
	}
	w.roots = map[string]*policy.Roots{"ca": roots}
}

// present has the policy's client certificate be c, from the next install on.
func (w *testProxy) present(c *tls.Certificate) {
	w.t.Helper()
	w.pairs = map[string]*policy.KeyPair{"client": {Name: "client", Chain: c.Certificate, Key: tlstest.Key(w.t, c)}}
}

// apiConfig is that of a server with a certificate that the authority has issued.
func apiConfig(a *tlstest.Authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*a.Issue(nil, apiHost)}}
}

// serveHTTPS starts a server of package net/http.
func serveHTTPS(t testing.TB, config *tls.Config, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.ServeTLS(l, "", "") })
	t.Cleanup(func() { _ = s.Close(); wg.Wait() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// sayTLS answers with what the server knows of the connection.
func sayTLS(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s host=%s sni=%s body=%d", r.Method, r.URL.Path, r.Proto, r.Host, r.TLS.ServerName, len(body))
}

// getAPI calls apiHost.
func (c *client) getAPI(path string) (*http.Response, string) {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
	return c.response("GET")
}

// stalling is a server that takes the client's hello and then says nothing until the test ends.
func stalling(t testing.TB) netip.AddrPort {
	t.Helper()
	return serve(t, func(_ int, p *peer) { _, _ = io.Copy(io.Discard, p) })
}

// underLoad has n clients call, one call after the other, until stop is called, which waits for them, or the test ends. A call that fails fails the test.
func underLoad(t *testing.T, n int, client func(i int) (call func() error)) (stop func()) {
	done := make(chan struct{})
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			for call := client(i); ; {
				select {
				case <-done:
					return
				default:
				}
				if err := call(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		clients.Wait()
	})
	t.Cleanup(stop)
	return stop
}
