package proxy

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// byAllNodes has three calls an hour started by all nodes together.
func byAllNodes(s *policy.Settings) {
	limited(policy.RateLimit{Requests: 3, Per: time.Hour, Burst: 3, Scope: policy.ShareCluster, Shared: "ns/p"})(s)
	s.Retry.MaxRetries = 0
}

// share has the node go by a share of the limit to which calls have come, as the manager has it.
func (w *testProxy) share(share policy.Share) {
	w.t.Helper()
	list, _ := w.store.Demands(time.Now())
	if len(list) != 1 || list[0].Name.Limit != "ns/p" {
		w.t.Fatalf("calls have come to the limits %+v, want one", list)
	}
	w.store.SetShare(list[0].Name, share)
}

// sharesALimit has calls come through w, whose limit is byAllNodes, and counts those that start. starts makes a call and reports whether it did.
func sharesALimit(t *testing.T, w *testProxy, starts func() bool, atServer func() int64) {
	t.Helper()
	if first, second := starts(), starts(); !first || second {
		t.Fatalf("without a share the first call starts: %v, the second: %v; want one call", first, second)
	}
	started := int64(1)
	w.share(policy.Share{Rate: 1e6, Burst: 3})
	for range 10 {
		poll(t, starts) // refused for some microseconds at most
		started++
	}
	w.share(policy.Share{Rate: 1.0 / 3600, Burst: 1})
	var got []bool
	for range 4 {
		got = append(got, starts())
	}
	if slices.Contains(got[1:], true) {
		t.Errorf("with a share of one call an hour four calls start: %v", got)
	}
	if got[0] {
		started++
	}
	if n := atServer(); n != started {
		t.Errorf("%d calls at the server, want the %d that have started", n, started)
	}
}

// The node starts as many calls as its share of the cluster's limit allows, however many the limit as a whole does.
//
//enforces:http1 rateLimit.scope
func TestRule24_ANodeKeepsToItsShare(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(byAllNodes))
	c := w.dial()
	sharesALimit(t, w, func() bool {
		res, _ := c.get("/")
		return refusedOnlyFor(t, res.Header.Get("fairlead-reason"))
	}, n.Load)
}

// refusedOnlyFor reports whether a call was let through, which nothing but a rate may refuse.
func refusedOnlyFor(t *testing.T, reason string) bool {
	t.Helper()
	if reason != "" && reason != "rate_limited" {
		t.Fatalf("refused: %s", reason)
	}
	return reason == ""
}

//enforces:http2 rateLimit.scope
func TestRule24_ANodeKeepsToItsShareOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(byAllNodes), func(string) int { return 200 })
	c := w.dialH2(http2test.Options{})
	sharesALimit(t, w, func() bool { return refusedOnlyFor(t, getH2(t, c, "/").Get("fairlead-reason")) }, n.Load)
}

//enforces:grpc rateLimit.scope
func TestRule24_ANodeKeepsToItsShareOfGRPCCalls(t *testing.T) {
	s := unaryServer(func(context.Context, int) error { return nil })
	w := build(t, serveRPC(t, s), toRPC(byAllNodes))
	c := w.clientRPC()
	sharesALimit(t, w, func() bool {
		code, trailer := unaryCall(t, c, bound(t))
		starts := refusedOnlyFor(t, reasonOf(trailer))
		if want := map[bool]codes.Code{true: codes.OK, false: codes.ResourceExhausted}[starts]; code != want {
			t.Errorf("got %v, want %v", code, want)
		}
		return starts
	}, s.calls.Load)
}

//enforces:opaque rateLimit.scope
func TestRule24_ANodeKeepsToItsShareOfConnections(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, func(id int, p *peer) { n.Add(1); copying(id, p) }), declaredTCP(byAllNodes))
	sharesALimit(t, w, func() bool { reached, _ := w.reaches(); return reached }, n.Load)
}
