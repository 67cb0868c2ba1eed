package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// serveH2 starts an upstream that speaks HTTP/2 in the clear, and counts its connections.
func serveH2(t testing.TB, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: onlyH2(), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 250}}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func onlyH2() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// clientH2 is a client of the proxy that speaks HTTP/2 in the clear.
func (w *testProxy) clientH2() *http.Client {
	w.t.Helper()
	tr := &http.Transport{Protocols: onlyH2(), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", w.captured.Addr().String())
	}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// do sends a request and reads the response.
func do(t testing.TB, c *http.Client, method, path, body string) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, "http://up.example"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		q.Body = nil
	}
	res, err := c.Do(q)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, string(b)
}

// toAnyH2 is toAny for what may speak either version.
func toAnyH2(change func(*policy.Settings)) policy.Binding {
	b := toAny(change)
	b.To.Protocol = policy.ProtocolAuto
	return b
}
