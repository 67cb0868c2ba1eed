package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// callers are clients that call without a pause.
type callers struct {
	answered atomic.Int64
	failure  atomic.Pointer[string] // the first one
	done     chan struct{}
	all      sync.WaitGroup
}

// start has clients call until stop.
func (l *callers) start(clients []func() (status int, body string)) {
	l.done = make(chan struct{})
	for _, call := range clients {
		l.all.Go(func() {
			for {
				select {
				case <-l.done:
					return
				default:
				}
				if status, body := call(); status != 200 {
					failure := fmt.Sprintf("answered %d %q", status, body)
					l.failure.CompareAndSwap(nil, &failure)
				}
				l.answered.Add(1)
			}
		})
	}
}

func (l *callers) stop() {
	close(l.done)
	l.all.Wait()
}

// The authority of a server is replaced while calls go on: first the bundle has both, then the server's certificate is of the other, then the
// bundle has that one alone. No call fails for it, and afterwards the former authority is trusted no more.
func TestABundleRotatesAndFailsNoCall(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*policy.Binding)
		clients func(*testProxy) []func() (int, string)
	}{
		"HTTP/1.1": {nil, func(w *testProxy) (out []func() (int, string)) {
			for range 4 {
				c := w.dial()
				out = append(out, func() (int, string) {
					res, body := c.getAPI("/")
					return res.StatusCode, body
				})
			}
			return out
		}},
		"HTTP/2": {http2TLS, func(w *testProxy) (out []func() (int, string)) {
			c := w.clearHTTP2()
			for range 4 {
				out = append(out, func() (int, string) { return getStatus(c) })
			}
			return out
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := tlstest.New(t), tlstest.New(t)
			certificates := map[*tlstest.Authority]*tls.Certificate{before: before.Issue(nil, apiHost), after: after.Issue(nil, apiHost)}
			var presented atomic.Pointer[tls.Certificate]
			presented.Store(certificates[before])
			var handshakes atomic.Int64
			server := serveHTTPS(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				handshakes.Add(1)
				return presented.Load(), nil
			}}, sayTLS)
			binding := toTLS(func(b *policy.Binding) {
				b.Base.Retry.MaxRetries = 0
				if tc.change != nil {
					tc.change(b)
				}
			})
			w := originating(t, before, server, binding)
			load := &callers{}
			load.start(tc.clients(w))
			for _, trusted := range [][]*tlstest.Authority{{before, after}, {after}} {
				made, answered := handshakes.Load(), load.answered.Load()
				w.trust(trusted...)
				w.install(binding)
				poll(t, func() bool { return load.answered.Load() >= answered+20 && handshakes.Load() > made })
				presented.Store(certificates[after])
			}
			load.stop()
			if f := load.failure.Load(); f != nil {
				t.Errorf("while the bundle was replaced a call was %s", *f)
			}
			presented.Store(certificates[before])
			w.trust(after, tlstest.New(t)) // another bundle, so that connections are made anew
			w.install(binding)
			if status, _ := tc.clients(w)[0](); status != 502 {
				t.Errorf("with the former authority's certificate the server is answered %d", status)
			}
		})
	}
}

// getStatus calls apiHost; a failure is status 0.
func getStatus(c *http.Client) (status int, body string) {
	res, err := c.Get("http://" + apiHost + "/")
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}
