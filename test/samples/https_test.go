package samples

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// The quota is kept before the API has to: what starts is what it has seen, and the rest waits or is rejected with the time after which it would have been let in.
func TestTheQuotaIsKept(t *testing.T) {
	up := &answering{}
	server, root := up.serveTLS(t, "api.geo.example")
	w := start(t, "https-api.yaml", netip.MustParseAddrPort("192.0.2.20:80"), server, root)
	l := w.base().RateLimit
	if l == nil || l.Requests != 100 || l.Burst != 50 || l.Scope != policy.ShareCluster || l.MaxWait == 0 {
		t.Fatalf("the limit is %+v", l)
	}
	up.script(status(200))
	// No manager shares the quota here, so a node has what it begins with: one call, and one in a second.
	c := w.client(http1)
	var answered, rejected atomic.Int64
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			res := call(t, c, "GET", "http://api.geo.example/v1/route", "")
			after, _ := strconv.Atoi(res.Header.Get("Retry-After"))
			switch {
			case res.StatusCode == 200:
				answered.Add(1)
			case res.StatusCode == 429 && res.Header.Get("Fairlead-Reason") == "rate_limited" && after > 0:
				rejected.Add(1)
			default:
				t.Errorf("answered %d, %v", res.StatusCode, res.Header)
			}
		})
	}
	calls.Wait()
	if n := len(up.taken()); n == 0 || int64(n) != answered.Load() || rejected.Load() == 0 {
		t.Errorf("%d of 8 calls were answered and %d rejected, and the API has seen %d", answered.Load(), rejected.Load(), n)
	}
}

// What the API refuses is asked again when it says, unless that is too late.
func TestTheAPIGetsThePatienceThatItAsksFor(t *testing.T) {
	for name, tc := range map[string]struct {
		method, after string
		code, seen    int
	}{
		"soon":        {"GET", "0", 200, 2},
		"too late":    {"GET", "6", 429, 1},
		"no read":     {"POST", "0", 429, 1},
		"idempotent":  {"PUT", "0", 200, 2},
		"not a wish":  {"GET", "soon", 200, 2},
		"for a while": {"GET", "1", 200, 2},
	} {
		t.Run(name, func(t *testing.T) {
			up := &answering{}
			server, root := up.serveTLS(t, "api.geo.example")
			w := start(t, "https-api.yaml", netip.MustParseAddrPort("192.0.2.20:80"), server, root)
			up.script(status(429, "Retry-After", tc.after), status(200))
			ends(t, call(t, w.client(http1), tc.method, "http://api.geo.example/v1/route", ""), tc.code, up, tc.seen)
		})
	}
}
