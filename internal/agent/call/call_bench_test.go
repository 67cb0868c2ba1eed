package call

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// fullSettings is a policy with everything on that a call consults.
func fullSettings() *policy.Settings {
	s := policy.Defaults()
	s.Timeouts.Overall = 10 * time.Second
	s.Timeouts.PerTry = 2 * time.Second
	s.Timeouts.ResponseHeader = time.Second
	s.Retry.On |= policy.Of(policy.ServerError, policy.Reset, policy.PerTryTimeout)
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 5
	b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
	s.Breaker = &b
	return &s
}

func fullPlan(s *policy.Settings, now time.Time) *Plan {
	random := rand.New(rand.NewPCG(1, 2)).Float64
	return &Plan{
		Settings: s,
		Breaker:  resilience.NewBreaker(s.Breaker, now, random),
		Budget:   resilience.NewBudget(s.Retry.Budget, now),
		Random:   random,
	}
}

func happy(c *Call, now time.Time, p *Plan) Action {
	c.Begin(now, p, Request{Method: Safe})
	c.Placed(now, 0, endpoint)
	c.BytesAccepted(0)
	c.RequestWritten(now, 0)
	a := c.ResponseHead(now.Add(time.Millisecond), 0, plain(200))
	c.Finished(now.Add(time.Millisecond), 0, End{GRPCStatus: -1})
	return a
}

func BenchmarkHappyPath(b *testing.B) {
	now := time.Now()
	p := fullPlan(fullSettings(), now)
	var c Call
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if happy(&c, now, p).Do != Forward {
			b.Fatal("not forwarded")
		}
	}
}

// Each worker has a Call of its own, as connections have, and the instruments are shared.
func BenchmarkHappyPathParallel(b *testing.B) {
	p := fullPlan(fullSettings(), time.Now())
	var worker atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		now := time.Now()
		c := Call{shard: uint8(worker.Add(1))}
		for pb.Next() {
			now = now.Add(time.Microsecond)
			if happy(&c, now, p).Do != Forward {
				b.Fatal("not forwarded")
			}
		}
	})
}

func BenchmarkRetry(b *testing.B) {
	now := time.Now()
	p := fullPlan(fullSettings(), now)
	p.Breaker = nil
	var c Call
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second) // keeps the budget full
		if retried(&c, now, p).Do != Forward {
			b.Fatal("not forwarded")
		}
	}
}

func retried(c *Call, now time.Time, p *Plan) Action {
	c.Begin(now, p, Request{Method: Safe})
	c.Placed(now, 0, endpoint)
	c.BytesAccepted(0)
	c.RequestWritten(now, 0)
	a := c.ResponseHead(now, 0, plain(503))
	if a.Do != Wait {
		return a
	}
	a = c.Timer(a.Until)
	c.Placed(now, a.Attempt, endpoint)
	a = c.ResponseHead(now, a.Attempt, plain(200))
	c.Finished(now, a.Attempt, End{GRPCStatus: -1})
	return a
}

func TestCallsDoNotAllocate(t *testing.T) {
	now := time.Now()
	p := fullPlan(fullSettings(), now)
	bare := *p
	bare.Breaker, bare.Budget = nil, nil
	shadowed, gated := bare, bare
	shadowed.Shadow = fullPlan(fullSettings(), now)
	gated.Gates = []Gate{openGate{}, openGate{}}
	var c Call
	paths := map[string]func() Action{
		"happy path":    func() Action { return happy(&c, now, p) },
		"after a retry": func() Action { return retried(&c, now, &bare) },
		"with a shadow": func() Action { return happy(&c, now, &shadowed) },
		"through gates": func() Action { return happy(&c, now, &gated) },
	}
	for name, run := range paths {
		t.Run(name, func(t *testing.T) {
			if a := run(); a.Do != Forward {
				t.Fatalf("the call ended with %+v", a)
			}
			if n := testing.AllocsPerRun(1000, func() { run() }); n != 0 {
				t.Errorf("%v allocations per call, want 0", n)
			}
		})
	}
}

type openGate struct{}

func (openGate) Enter(time.Time, *resilience.Waiter) resilience.Entry { return resilience.Entry{} }

func (openGate) Leave(time.Time, *resilience.Waiter, resilience.Result) {}
