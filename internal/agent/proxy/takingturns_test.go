package proxy

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// Pods that flood the agent at the same time take turns, and each call of each of them comes to the server once and is answered.
func TestRule25_PodsThatFloodAtTheSameTimeAreServed(t *testing.T) {
	var calls atomic.Int64
	single := toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 })
	w := build(t, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			calls.Add(1)
			p.ok("fine")
		}
	}), single)
	w.seen.discards.Store(true)
	pods := []string{pod, "b", "c"}
	w.installFor(single, pods...)
	const conns, each = 16, 20
	var all sync.WaitGroup
	for _, uid := range pods {
		for range conns {
			c := w.dialAs(uid)
			all.Go(func() {
				for range each {
					if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
						t.Error(err)
						return
					}
					res, err := http.ReadResponse(c.r, nil)
					if err != nil || res.StatusCode != 200 {
						t.Errorf("got %v, %v", res, err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
				}
			})
		}
	}
	all.Wait()
	if n := calls.Load(); n != int64(len(pods)*conns*each) {
		t.Errorf("%d calls came to the server", n)
	}
}
