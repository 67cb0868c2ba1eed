package proxy

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
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
	go func() { defer close(done); _ = srv.Serve(overListener{l}) }()
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
	tr := &http.Transport{Protocols: onlyH2(), DialContext: w.dialing}
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

// buildH2 is build for clients that speak at once: a slow machine is not to make the agent look whether the server speaks first, which would be a
// connection more.
func buildH2(t testing.TB, original netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	return buildWith(t, Options{sniffDelay: patience}, original, bindings...)
}

// toAnyH2 is toAny for what may speak either version.
func toAnyH2(change func(*policy.Settings)) policy.Binding {
	b := toAny(change)
	b.To.Protocol = policy.ProtocolAuto
	return b
}

// must fails the test for an error.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// check fails the test for an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dialH2 opens a client's connection whose frames the test writes.
func (w *testProxy) dialH2(o http2test.Options) *http2test.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.captured.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	end := c.LocalAddr().(*net.TCPAddr).AddrPort()
	w.dialer.closed.Store(end, false)
	w.t.Cleanup(func() { w.dialer.closed.Store(end, true) })
	if os.Getenv(withoutVariable) != "" {
		o.Patience = patience
	}
	return http2test.Speak(w.t, must(over.secure(c, tlslayer.HTTP2))(w.t), o)
}

// scripted is a proxy in front of a server that answers streams by a script; the stream's number among all is n, from 0 on.
func scripted(t testing.TB, b policy.Binding, answer func(n int, s *http2test.Stream)) (*testProxy, *http2test.Server) {
	t.Helper()
	return scriptedWith(t, Options{}, b, answer)
}

// scriptedWith is scripted with other limits.
func scriptedWith(t testing.TB, o Options, b policy.Binding, answer func(n int, s *http2test.Stream)) (*testProxy, *http2test.Server) {
	t.Helper()
	if o.sniffDelay == 0 { // a slow machine is not to make the agent look whether the server speaks first: that is a connection more
		o.sniffDelay = patience
	}
	var n atomic.Int64
	srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) { answer(int(n.Add(1))-1, s) }})
	return buildWith(t, o, srv.Addr(), b), srv
}

// statusOf waits for the head of a response.
func statusOf(t testing.TB, s *http2test.Stream) (status string, head http2test.Fields) {
	t.Helper()
	head = must(s.Head())(t)
	return head.Get(":status"), head
}

// barrier holds scripts up until the test opens it, or has failed.
type barrier struct {
	C    chan struct{}
	once sync.Once
}

func (g *barrier) now() { g.once.Do(func() { close(g.C) }) }

// newBarrier returns a barrier, which the test opens before it ends, in any case: servers end after their scripts.
func newBarrier() *barrier { return &barrier{C: make(chan struct{})} }
