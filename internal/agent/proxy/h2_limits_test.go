package proxy

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

//enforces:http2 rateLimit.requests rateLimit.per rateLimit.burst
func TestRule24_CallsAboveTheRateAreRejectedOverHTTP2(t *testing.T) {
	w := build(t, serveH2(t, echoH2), toAnyH2(limited(perHour(2))))
	c := w.dialH2(http2test.Options{})
	for i := range 2 {
		if head := getH2(t, c, "/"); head.Get(":status") != "200" {
			t.Fatalf("call %d of the burst got %v", i, head)
		}
	}
	head := getH2(t, c, "/")
	if head.Get(":status") != "429" || head.Get("fairlead-reason") != "rate_limited" || !aboutAnHour(head.Get("retry-after")) {
		t.Errorf("got %v", head)
	}
	if e := w.seen.limitedCall(t); e.Detail != routes.DetailRateLimit || len(e.Attempts) != 0 {
		t.Errorf("reported as %+v", e)
	}
}

// Streams of one connection wait beside each other, and a stream that its client resets gives its turn back.
//
//enforces:http2 rateLimit.onLimit rateLimit.maxWait
func TestRule24_StreamsWaitForTheRate(t *testing.T) {
	const calls, every = 5, 10 * time.Millisecond
	w := build(t, serveH2(t, echoH2), toAnyH2(limited(policy.RateLimit{
		Requests: 1, Per: every, Burst: 1, Scope: policy.SharePod, MaxWait: time.Hour,
	})))
	c, began := w.dialH2(http2test.Options{}), time.Now()
	var streams []*http2test.Stream
	for range calls + 1 {
		streams = append(streams, must(c.Get("up.example", "/", nil))(t))
	}
	check(t, streams[calls].Reset(http2.ErrCodeCancel))
	for _, s := range streams[:calls] {
		if status, head := statusOf(t, s); status != "200" {
			t.Errorf("got %v", head)
		}
	}
	if took := time.Since(began); took < (calls-1)*every {
		t.Errorf("%d calls started within %v", calls, took)
	}
	poll(t, func() bool { return limitWaiting(w.store) == 0 })
}

//enforces:http2 rateLimit.scope
func TestRule24_ARateIsSharedAsWrittenOverHTTP2(t *testing.T) {
	for name, scope := range map[string]policy.Sharing{"by the node's pods": policy.ShareNode, "by nobody": policy.SharePod} {
		t.Run(name, func(t *testing.T) {
			l := perHour(1)
			l.Scope = scope
			n := buildNeighbours(t, &failingDialer{err: syscall.ECONNREFUSED}, toAnyH2(limited(l)))
			n.up = serveH2(t, echoH2)
			getH2(t, n.dialH2("other"), "/")
			head := getH2(t, n.dialH2(pod), "/")
			if got := head.Get("fairlead-reason") == "rate_limited"; got != (scope == policy.ShareNode) {
				t.Errorf("the other pod was rejected: %v", got)
			}
		})
	}
}
