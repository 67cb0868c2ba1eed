package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// toIntercept is a binding for apiHost whose pods' TLS ends at the agent.
func toIntercept(change func(*policy.Binding)) policy.Binding {
	return toTLS(func(b *policy.Binding) {
		b.To.TLS = policy.TLS{Mode: policy.TLSIntercept, Roots: "ca", Issuer: policy.IssuerName}
		if change != nil {
			change(b)
		}
	})
}

// twoCAs are two authorities: hosts are verified with one, pods trust the other.
type twoCAs struct{ hosts, egress *tlstest.Authority }

func authorities(t testing.TB) twoCAs { return twoCAs{tlstest.New(t), tlstest.New(t)} }

// intercepting starts a proxy that ends the TLS of pods.
func intercepting(t testing.TB, as twoCAs, server netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	return interceptingWith(t, Options{closedAtOnce: time.Hour}, as, server, bindings...)
}

// interceptingWith is intercepting with other limits.
func interceptingWith(t testing.TB, o Options, as twoCAs, server netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	w := buildWith(t, o, server)
	w.trust(as.hosts)
	w.issue(as.egress)
	w.install(bindings...)
	return w
}

// issue has the node's issuer be a new one, from the next install on.
func (w *testProxy) issue(egress *tlstest.Authority, domains ...string) {
	w.t.Helper()
	c := egress.Issuer(nil, domains...)
	w.pairs = map[string]*policy.KeyPair{policy.IssuerName: {Name: policy.IssuerName, Chain: c.Certificate, Key: tlstest.Key(w.t, c)}}
}

// https returns a client that trusts an authority alone, and calls whatever it calls by way of the proxy. change has its say about TLS.
func (w *testProxy) https(a *tlstest.Authority, change func(*tls.Config)) *http.Client {
	config := &tls.Config{RootCAs: a.Pool()}
	if change != nil {
		change(config)
	}
	t := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", w.captured.Addr().String())
	}}
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// fetch calls apiHost.
func fetch(c *http.Client, path string) (*http.Response, string, error) {
	res, err := c.Get("https://" + apiHost + path)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func mustFetch(t testing.TB, c *http.Client, path string) (*http.Response, string) {
	t.Helper()
	res, body, err := fetch(c, path)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// secure opens a client's connection, and speaks TLS on it with whoever is there.
func (w *testProxy) secure(a *tlstest.Authority, change func(*tls.Config)) *tls.Conn {
	w.t.Helper()
	config := &tls.Config{RootCAs: a.Pool(), ServerName: apiHost}
	if change != nil {
		change(config)
	}
	c := tls.Client(w.dial(), config)
	if err := c.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// handshakes waits until so many handshakes of pods have come to an end.
func (w *testProxy) handshakes(h routes.Handshake, n int64) {
	w.t.Helper()
	w.waitFor(w.t, func() bool { return w.seen.handshakes[h].Load() >= n })
	if got := w.seen.handshakes[h].Load(); got != n {
		w.t.Errorf("%d handshakes ended as %v, want %d", got, h, n)
	}
}

// interceptedBy reports whether a certificate is the agent's.
func interceptedBy(res *http.Response) bool {
	return len(res.TLS.PeerCertificates) == 2 && res.TLS.PeerCertificates[1].IsCA
}
