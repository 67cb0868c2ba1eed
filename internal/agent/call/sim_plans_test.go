package call

import (
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// simPlan is a policy at one destination, with what the simulator knows of its budget.
type simPlan struct {
	Plan
	limit int // the highest maxRetries anywhere
	// endpoints has the breakers that are those of an endpoint, by the settings that they are of
	endpoints      map[*policy.Settings]*resilience.Breaker
	calls, retries []time.Time
}

// simPlans makes random policies, each with instruments of its own.
func simPlans(seed uint64, n int) []*simPlan {
	random := rand.New(rand.NewPCG(seed, 5))
	plans := make([]*simPlan, 0, n)
	for range n {
		plans = append(plans, newSimPlan(simSettings(random), random))
	}
	return plans
}

func newSimPlan(s *policy.Settings, random *rand.Rand) *simPlan {
	p := &simPlan{Plan: simInstruments(s, random), limit: s.Retry.MaxRetries}
	for _, o := range s.Retry.Overrides {
		p.limit = max(p.limit, o.MaxRetries)
	}
	if random.IntN(3) == 0 {
		p.judgeEndpoint(&p.Plan)
	}
	if random.IntN(3) == 0 {
		p.Gates = simGates(random)
	}
	if random.IntN(3) == 0 {
		p.Hedge = Hedge{After: time.Duration(1+random.IntN(200)) * ms, Max: random.IntN(4)}
	}
	switch random.IntN(4) {
	case 0:
		p.Fallback = &Fallback{On: simFallsBackOn(random), Status: 200 + random.IntN(400), GRPCStatus: random.IntN(17)}
	case 1:
		other := simInstruments(simSettings(random), random)
		p.Fallback = &Fallback{On: simFallsBackOn(random), Plan: &other}
		if random.IntN(3) == 0 {
			p.judgeEndpoint(&other)
		}
	}
	if random.IntN(3) == 0 {
		other := newSimPlan(simSettings(random), random).Plan
		other.Shadow = nil
		p.Shadow = &other
	}
	return p
}

// judgeEndpoint has a plan's breaker be that of the endpoint.
func (p *simPlan) judgeEndpoint(of *Plan) {
	if of.Breaker == nil {
		return
	}
	if p.endpoints == nil {
		p.endpoints = map[*policy.Settings]*resilience.Breaker{}
	}
	p.endpoints[of.Settings], of.Breaker = of.Breaker, nil
}

func simFallsBackOn(random *rand.Rand) policy.FallbackOn {
	one := func() bool { return random.IntN(3) > 0 }
	return policy.FallbackOn{CircuitOpen: one(), RetriesExhausted: one(), RateLimited: one()}
}

func simInstruments(s *policy.Settings, random *rand.Rand) Plan {
	p := Plan{Settings: s, Random: random.Float64}
	if s.Breaker != nil {
		p.Breaker = resilience.NewBreaker(s.Breaker, t0, rand.New(rand.NewPCG(random.Uint64(), 1)).Float64)
	}
	if random.IntN(4) == 0 {
		p.Adaptive = resilience.NewAdaptiveTimeout(policy.Adaptive{Min: ms, Max: 2 * time.Second, Deviations: random.IntN(4000), Window: 20 + random.IntN(50)})
	}
	if random.IntN(4) > 0 {
		p.Budget = resilience.NewBudget(s.Retry.Budget, t0)
	}
	return p
}

func simSettings(random *rand.Rand) *policy.Settings {
	s := policy.Defaults()
	maybe := func(d time.Duration) time.Duration {
		if random.IntN(3) == 0 {
			return 0
		}
		return time.Duration(random.Int64N(int64(d))) + 1
	}
	s.Timeouts.Overall = maybe(4 * time.Second)
	s.Timeouts.PerTry = maybe(2 * time.Second)
	s.Timeouts.ResponseHeader = maybe(time.Second)
	s.Timeouts.MaxDuration = maybe(20 * time.Second)
	r := &s.Retry
	r.MaxRetries = random.IntN(5)
	r.On = policy.Conditions(random.IntN(1 << 11))
	r.StatusCodes = []policy.StatusRange{{From: 404, To: uint16(404 + random.IntN(10))}}
	r.GRPCStatuses = simGRPC(random.IntN)
	r.Idempotency = policy.Idempotency(random.IntN(4))
	r.Backoff = simBackoff(random)
	r.RetryAfter = policy.RetryAfter{Honor: random.IntN(4) > 0, Max: maybe(3 * time.Second)}
	r.Budget = policy.Budget{Percent: random.IntN(40), MinPerSecond: random.IntN(3), Window: time.Duration(1+random.IntN(5)) * time.Second}
	r.AvoidPreviousEndpoints = random.IntN(2) == 0
	r.SkipRetried = random.IntN(3) == 0
	for range random.IntN(3) {
		r.Overrides = append(r.Overrides, policy.RetryOverride{
			On: policy.Conditions(random.IntN(1 << 11)), MaxRetries: random.IntN(7), Backoff: simBackoff(random),
			GRPCStatuses: simGRPC(random.IntN),
		})
	}
	if random.IntN(3) > 0 {
		s.Breaker = simBreaker(random)
	}
	return &s
}

func simBreaker(random *rand.Rand) *policy.Breaker {
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 3 + random.IntN(20)
	b.ErrorRate = &policy.ErrorRate{Percent: 70, MinimumRequests: 20, Window: time.Second}
	b.OpenDuration, b.OpenMaxDuration = 100*ms, time.Second
	b.Probes, b.SuccessesToClose = 1+random.IntN(3), 1+random.IntN(3)
	if random.IntN(2) == 0 {
		b.SlowCalls = &policy.SlowCalls{Threshold: 500 * ms, Percent: 80, MinimumRequests: 20, Window: time.Second}
	}
	return &b
}

func simBackoff(random *rand.Rand) policy.Backoff {
	b := policy.Backoff{
		Strategy: policy.Strategy(random.IntN(3)), Initial: time.Duration(random.IntN(200)) * ms, Multiplier: 1 + 2*random.Float64(),
		Jitter: policy.Jitter(random.IntN(6)), JitterPercent: 1 + random.IntN(100),
	}
	b.Max = b.Initial + time.Duration(random.IntN(1000))*ms
	return b
}
