package proxy

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// eachBlock has one block of a policy that acts on calls, each written so that calls which go well pass it.
func eachBlock() map[string]func(*policy.Settings) {
	return map[string]func(*policy.Settings){
		"none":               func(*policy.Settings) {},
		"rate":               limited(policy.RateLimit{Requests: 1000, Per: time.Second, Burst: 1000, Scope: policy.SharePod}),
		"rate of the node":   limited(policy.RateLimit{Requests: 500, Per: time.Second, Burst: 1000, Scope: policy.ShareNode, MaxWait: time.Minute}),
		"places":             running(policy.Concurrency{Max: 1, MaxQueued: 10, MaxWait: time.Minute, Scope: policy.SharePod}),
		"places of the node": running(policy.Concurrency{Max: 1, MaxQueued: 5, MaxWait: time.Minute, Scope: policy.ShareNode}),
		"adaptive places": running(policy.Concurrency{
			Adaptive: &policy.AdaptiveConcurrency{Min: 1, Max: 1}, MaxQueued: 10, MaxWait: time.Minute, Scope: policy.SharePod,
		}),
		"breaker": func(s *policy.Settings) {
			s.Breaker = &policy.Breaker{ConsecutiveFailures: 2, OpenDuration: time.Minute, Probes: 1, SuccessesToClose: 1}
		},
		"breakers of endpoints": func(s *policy.Settings) {
			s.Breaker = &policy.Breaker{ConsecutiveFailures: 1, OpenDuration: time.Minute, Probes: 1, SuccessesToClose: 1, Scope: policy.ScopeEndpoint, MaxEjectedPercent: 50}
		},
		"hedges": hedges(policy.Hedging{Max: 1, Delay: time.Hour}),
		"adaptive": func(s *policy.Settings) {
			s.Timeouts.Adaptive = policy.Adaptive{Min: time.Minute, Max: time.Minute, Deviations: 2000, Window: 20}
		},
		"fallback": func(s *policy.Settings) {
			s.Fallback = &policy.Fallback{Response: &policy.FallbackResponse{Status: 299}}
		},
		"faults": meets(policy.Faults{Delay: time.Millisecond}),
		"pool": func(s *policy.Settings) {
			s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 10, time.Minute
		},
	}
}

// A call that is under way, and one that waits, end as they have begun, whatever block of the policy comes, goes or changes meanwhile; afterwards nothing is
// held for them.
func TestRule33_EveryBlockIsEditedInMidCall(t *testing.T) {
	for from, before := range eachBlock() {
		t.Run(from, func(t *testing.T) {
			g := newGate()
			w := build(t, serve(t, g.serve), toAny(before))
			t.Cleanup(g.open)
			for to, after := range eachBlock() {
				w.install(toAny(before))
				held := w.hold(g)
				beside := w.dial()
				beside.send(aGET)
				w.install(toAny(after))
				g.release <- struct{}{}
				for name, c := range map[string]*client{"the call": held, "the one beside it": beside} {
					if res, _ := c.response("GET"); res.StatusCode != 200 {
						t.Errorf("to %s: %s got %d", to, name, res.StatusCode)
					}
				}
				last := w.dial()
				if res, _ := last.get("/"); res.StatusCode != 200 {
					t.Errorf("to %s: the next call got %d", to, res.StatusCode)
				}
				poll(t, func() bool { return heldBack(w.store) == 0 })
			}
		})
	}
}

// heldBack counts the calls that limits know of.
func heldBack(s *routes.Table) (n int) {
	s.Stats(time.Now(), func(s routes.Stats) { n += s.LimitWaiting + s.Running + s.Pool.Waiting })
	return n
}

func TestRule33_EveryBlockIsEditedInMidCallOverHTTP2(t *testing.T) {
	for from, before := range eachBlock() {
		t.Run(from, func(t *testing.T) {
			arrived, release := make(chan struct{}, 10), make(chan struct{})
			w, _ := scripted(t, toAnyH2(before), func(_ int, s *http2test.Stream) {
				if head, _ := s.Head(); head.Get(":path") == "/held" {
					arrived <- struct{}{}
					<-release
				}
				_ = s.Respond(http.StatusOK, nil, nil)
			})
			c := w.clientH2()
			for to, after := range eachBlock() {
				w.install(toAnyH2(before))
				got := make(chan string, 2)
				ask := func(path string) {
					res, err := c.Get("http://up.example" + path)
					if err != nil {
						got <- err.Error()
						return
					}
					_ = res.Body.Close()
					got <- strconv.Itoa(res.StatusCode)
				}
				go ask("/held")
				w.expect(arrived, "the call does not arrive")
				go ask("/")
				w.install(toAnyH2(after))
				release <- struct{}{}
				for range 2 {
					if status := <-got; status != "200" {
						t.Errorf("to %s: got %s", to, status)
					}
				}
				if res, _ := do(t, c, http.MethodGet, "/", ""); res.StatusCode != 200 {
					t.Errorf("to %s: the next call got %d", to, res.StatusCode)
				}
				poll(t, func() bool { return heldBack(w.store) == 0 })
			}
		})
	}
}
