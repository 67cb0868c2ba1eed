package proxy

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// clientChecked waits until the proxy has looked whether a client is still there that has ended its side.
func (w *testProxy) clientChecked() {
	w.waitFor(w.t, func() bool { return w.dialer.asked.Load() > 0 })
}

// A client that ends its side behind its requests, as nc -N does, waits for the answers. The server answers only when the proxy has
// looked, or could not look, whether it is still there.
func TestRule04_AHalfClosedClientGetsItsAnswers(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, tc := range map[string]struct {
		say     string
		answers []string
		blind   bool
		bad     int64 // so many attempts are answered with 503
		slow    time.Duration
	}{
		"one request":              {say: get, answers: []string{"GET / "}},
		"nobody can tell":          {say: get, answers: []string{"GET / "}, blind: true},
		"two requests":             {say: get + get, answers: []string{"GET / ", "GET / "}},
		"a body":                   {say: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", answers: []string{"POST / hi"}},
		"a chunked body":           {say: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", answers: []string{"POST / hi"}},
		"while waiting to retry":   {say: get, answers: []string{"GET / "}, bad: 2},
		"while being connected to": {say: get, answers: []string{"GET / "}, slow: 3 * drive.FirstCheck},
	} {
		t.Run(name, func(t *testing.T) {
			var w *testProxy
			var n atomic.Int64
			w = build(t, serve(t, func(_ int, p *peer) {
				for {
					q, body, ok := p.request()
					if !ok {
						return
					}
					if n.Add(1) <= tc.bad {
						p.send(answer(503, "bad"))
						continue
					}
					w.clientChecked()
					p.ok(q.Method + " " + q.RequestURI + " " + body)
				}
			}), toAny(func(s *policy.Settings) {
				s.Retry.On = policy.Of(policy.GatewayError)
				s.Retry.Backoff.Initial, s.Retry.Backoff.Max, s.Retry.Backoff.Jitter = 4*drive.FirstCheck, 4*drive.FirstCheck, policy.JitterNone
			}))
			w.dialer.blind.Store(tc.blind)
			w.dialer.slow.Store(int64(tc.slow))
			c := w.dial()
			c.send(tc.say)
			_ = c.CloseWrite()
			for _, want := range tc.answers {
				if _, body := c.response("GET"); body != want {
					t.Fatalf("got %q, want %q", body, want)
				}
			}
			if b, err := c.r.ReadByte(); err != io.EOF {
				t.Errorf("byte %q, %v, want the end", b, err)
			}
		})
	}
}

// A client that has ended its side and goes later is noticed all the same.
func TestRule04_AHalfClosedClientThatGoesIsNoticed(t *testing.T) {
	gone := make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			_, _ = p.r.ReadByte() // never answered: until the proxy gives up
			close(gone)
		}
	}), toAny(nil))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.CloseWrite()
	w.clientChecked()
	c.Close()
	<-gone
}
