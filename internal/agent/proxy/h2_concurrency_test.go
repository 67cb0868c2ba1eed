package proxy

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// heldStreams begins n calls that are held upstream, and waits until they run.
func (w *testProxy) heldStreams(c *http2test.Conn, n int) (streams []*http2test.Stream) {
	w.t.Helper()
	for range n {
		streams = append(streams, must(c.Get("up.example", "/held", nil))(w.t))
	}
	poll(w.t, func() bool {
		running := 0
		w.store.Stats(time.Now(), func(s routes.Stats) { running += s.Running })
		return running == n
	})
	return streams
}

//enforces:http2 concurrency.max
func TestRule24_StreamsAtOnceAreLimited(t *testing.T) {
	w, _, release := holding(t, running(policy.Concurrency{Max: 2, Scope: policy.SharePod}))
	c := w.dialH2(http2test.Options{})
	streams := w.heldStreams(c, 2)
	head := getH2(t, c, "/")
	if head.Get(":status") != "429" || head.Get("fairlead-reason") != "rate_limited" || head.Get("retry-after") != "1" {
		t.Errorf("got %v", head)
	}
	if e := w.seen.limitedCall(t); e.Detail != routes.DetailConcurrency {
		t.Errorf("reported as %+v", e)
	}
	check(t, streams[0].Reset(http2.ErrCodeCancel))
	poll(t, func() bool { return getH2(t, c, "/").Get(":status") == "200" })
	release.now()
}

// The place of a stream that ends is another's, also on the same connection.
//
//enforces:http2 concurrency.maxQueued concurrency.maxWait
func TestRule24_StreamsWaitForAPlace(t *testing.T) {
	w, _, release := holding(t, running(policy.Concurrency{Max: 1, MaxQueued: 2, MaxWait: time.Hour, Scope: policy.SharePod}))
	c := w.dialH2(http2test.Options{})
	streams := w.heldStreams(c, 1)
	for range 2 {
		streams = append(streams, must(c.Get("up.example", "/", nil))(t))
	}
	poll(t, func() bool { return limitWaiting(w.store) == 2 })
	if head := getH2(t, c, "/"); head.Get("fairlead-reason") != "rate_limited" {
		t.Errorf("one more than may wait got %v", head)
	}
	check(t, streams[1].Reset(http2.ErrCodeCancel))
	poll(t, func() bool { return limitWaiting(w.store) == 1 })
	release.now()
	for _, i := range []int{0, 2} {
		if status, head := statusOf(t, streams[i]); status != "200" {
			t.Errorf("stream %d got %v", i, head)
		}
	}
}

//enforces:http2 concurrency.adaptive.min concurrency.adaptive.max
func TestRule24_AnAdaptiveLimitKeepsItsBoundsOverHTTP2(t *testing.T) {
	for name, tc := range adaptiveBounds {
		t.Run(name, func(t *testing.T) {
			w, _, release := holding(t, running(policy.Concurrency{Adaptive: &tc.bounds, Scope: policy.SharePod}))
			c := w.dialH2(http2test.Options{})
			w.heldStreams(c, tc.held)
			if head := getH2(t, c, "/"); head.Get("fairlead-reason") != "rate_limited" {
				t.Errorf("one more got %v", head)
			}
			release.now()
		})
	}
}

//enforces:http2 concurrency.scope
func TestRule24_PlacesAreSharedAsWrittenOverHTTP2(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toAnyH2(running(policy.Concurrency{Max: 1, Scope: scope})))
			arrived, release := make(chan struct{}), newBarrier()
			n.up = serveH2(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release.C })
			defer release.now() // before connections are waited for
			own := n.dialH2(pod)
			must(own.Get("up.example", "/", nil))(t)
			<-arrived
			other := n.dialH2("other")
			got := getH2(t, other, "/").Get("fairlead-reason") == "rate_limited" // else it cannot connect
			if got != (scope == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}

// A tunnel that a stream has become has no place.
func TestRule25_TunnelsHaveNoPlaceOverHTTP2(t *testing.T) {
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{Settings: []http2.Setting{{ID: extended, Val: 1}}},
		Stream: func(s *http2test.Stream) {
			if head, _ := s.Head(); head.Get(":method") != "CONNECT" {
				_ = s.Respond(200, nil, nil)
				return
			}
			_ = s.Headers(false, http2test.F(":status", "200"))
			_, _ = s.Body()
			_ = s.Data(nil, true)
		},
	})
	w := build(t, srv.Addr(), toAnyH2(running(policy.Concurrency{Max: 1, Scope: policy.SharePod})))
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	poll(t, func() bool { v, _ := c.PeerSetting(extended); return v == 1 })
	tunnel := must(c.Request(false, websocket()))(t)
	if status, head := statusOf(t, tunnel); status != "200" {
		t.Fatalf("got %v", head)
	}
	poll(t, func() bool { return getH2(t, c, "/").Get(":status") == "200" })
	check(t, tunnel.Data(nil, true))
}
