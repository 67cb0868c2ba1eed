package proxy

import (
	"io"
	"net/netip"
	"testing"
)

// A connection on which nobody says anything is no call: somebody looks whether the server is there, or has made it in advance.
func TestRule32_AnUnusedConnectionIsNoCall(t *testing.T) {
	listening := func(t *testing.T) netip.AddrPort {
		return serve(t, func(_ int, p *peer) { _, _ = io.ReadAll(p) })
	}
	for name, tc := range map[string]struct {
		server func(*testing.T) netip.AddrPort
		leave  func(w *testProxy, c *client)
	}{
		"closed at once":       {listening, func(_ *testProxy, c *client) { _ = c.CloseWrite() }},
		"closed after a while": {listening, func(w *testProxy, c *client) { w.probed(); _ = c.CloseWrite() }},
		"closed by its server": {func(t *testing.T) netip.AddrPort { return serve(t, func(int, *peer) {}) }, func(*testProxy, *client) {}},
		"its server says a word": {func(t *testing.T) netip.AddrPort {
			return serve(t, func(_ int, p *peer) { _, _ = io.ReadAll(p); p.send("bye") })
		}, func(_ *testProxy, c *client) { _ = c.CloseWrite() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, tc.server(t), undeclared(nil))
			c := w.dial()
			tc.leave(w, c)
			got, err := io.ReadAll(c.r)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
			poll(t, func() bool { return w.server.Connections() == 0 })
			if n := w.seen.opaque.opened.Load(); n != int64(min(len(got), 1)) {
				t.Errorf("%d connections are counted, %q was said", n, got)
			}
			if n := w.seen.opaque.closed.Load(); n != int64(min(len(got), 1)) {
				t.Errorf("%d ends are counted", n)
			}
			w.seen.mu.Lock()
			defer w.seen.mu.Unlock()
			if n := len(w.seen.calls); n != 0 {
				t.Errorf("%d calls are counted", n)
			}
		})
	}
}
