package call

import (
	"math/rand/v2"
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

func fullPlan(s *policy.Settings, now time.Time) Plan {
	random := rand.New(rand.NewPCG(1, 2)).Float64
	return Plan{
		Settings: s,
		Breaker:  resilience.NewBreaker(s.Breaker, random),
		Budget:   resilience.NewBudget(s.Retry.Budget, now),
		Random:   random,
	}
}

func happy(c *Call, now time.Time, p Plan) Action {
	c.Begin(now, p, Request{Method: Safe})
	c.Dispatched(now)
	c.RequestWritten(now)
	return c.ResponseHead(now.Add(time.Millisecond), Response{Status: 200, GRPCStatus: -1})
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

func retried(c *Call, now time.Time, p Plan) Action {
	c.Begin(now, p, Request{Method: Safe})
	c.Dispatched(now)
	c.RequestWritten(now)
	a := c.ResponseHead(now, Response{Status: 503, GRPCStatus: -1})
	if a.Do != Wait {
		return a
	}
	c.Timer(a.Until)
	c.Dispatched(a.Until)
	return c.ResponseHead(a.Until, Response{Status: 200, GRPCStatus: -1})
}

func TestCallsDoNotAllocate(t *testing.T) {
	now := time.Now()
	p := fullPlan(fullSettings(), now)
	q := p
	q.Breaker, q.Budget = nil, nil
	var c Call
	paths := map[string]func() Action{
		"happy path":    func() Action { return happy(&c, now, p) },
		"after a retry": func() Action { return retried(&c, now, q) },
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
