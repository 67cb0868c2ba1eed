package soak

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// original is the address that pods call: the destination's own.
var original = netip.MustParseAddrPort("10.96.0.10:80")

const service = "shop/up"

// version is a policy and when it was in force, at most.
type version struct {
	settings    policy.Settings
	ruled       policy.Settings // of the calls that say so in ruleField
	from, until time.Time       // until: zero as long as it is in force
}

// fixed is what all policies of a round have in common, so that what is counted over time has one bound.
type fixed struct {
	breaker     *policy.Breaker
	rate        *policy.RateLimit
	share       policy.Share // of the rate, if the cluster shares it
	concurrency *policy.Concurrency
	// ill: the first server fails each call and the others none, which breakers of single endpoints are to find out.
	ill bool
}

// startable is what may be started: in any time burst calls and as many as its rate lets in.
func (f *fixed) startable() (rate, burst float64) {
	if f.rate.Scope == policy.ShareCluster {
		return f.share.Rate, max(f.share.Burst, 1)
	}
	return float64(f.rate.Requests) / f.rate.Per.Seconds(), float64(f.rate.Burst)
}

func oneOf[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func between(rng *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)))
}

func drawFixed(rng *rand.Rand) (f fixed) {
	kind := rng.IntN(8)
	switch kind {
	case 0, 3, 7:
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.Sharing = 1+rng.IntN(4), oneOf(rng, policy.ShareNode, policy.SharePod)
		b.OpenDuration, b.OpenJitterPercent, b.Probes = between(rng, 100*time.Millisecond, 400*time.Millisecond), oneOf(rng, 0, 20), 1+rng.IntN(2)
		f.breaker = &b
		if f.ill = kind == 3; f.ill {
			b.Scope, b.MaxEjectedPercent, b.OpenDuration = policy.ScopeEndpoint, oneOf(rng, 34, 50, 100), 2*b.OpenDuration
		}
		if kind == 7 {
			drawWindow(rng, &b)
		}
	case 1, 4:
		f.rate = &policy.RateLimit{
			Requests: 20 + rng.IntN(300), Per: time.Second, Burst: 1 + rng.IntN(30), Scope: oneOf(rng, policy.SharePod, policy.ShareNode),
			MaxWait: oneOf(rng, 0, 50*time.Millisecond, 500*time.Millisecond),
		}
		if kind == 4 {
			f.rate.Scope, f.rate.Shared = policy.ShareCluster, "limit"
			whole, part := f.rate.Share(), 0.2+0.8*rng.Float64()
			f.share = policy.Share{Rate: part * whole.Rate, Burst: part * whole.Burst}
		}
	case 2:
		f.concurrency = &policy.Concurrency{Max: 1 + rng.IntN(6), Scope: oneOf(rng, policy.SharePod, policy.ShareNode)}
		if rng.IntN(2) == 0 {
			f.concurrency.MaxQueued, f.concurrency.MaxWait = 1+rng.IntN(8), between(rng, 10*time.Millisecond, 300*time.Millisecond)
		}
		if rng.IntN(3) == 0 {
			f.concurrency.Adaptive = &policy.AdaptiveConcurrency{Min: 1 + rng.IntN(3), Max: f.concurrency.Max + 3}
			f.concurrency.Max = 0
		}
	}
	return f
}

// places are how few and how many calls may be under way at once.
func (f *fixed) places() (least, most int) {
	if a := f.concurrency.Adaptive; a != nil {
		return a.Min, a.Max
	}
	return f.concurrency.Max, f.concurrency.Max
}

// drawWindow has a breaker open for what a window of time has seen.
func drawWindow(rng *rand.Rand, b *policy.Breaker) {
	b.ConsecutiveFailures = 0
	percent, least, window := 20+rng.IntN(40), 2+rng.IntN(10), between(rng, 200*time.Millisecond, 2*time.Second)
	if rng.IntN(2) == 0 {
		b.ErrorRate = &policy.ErrorRate{Percent: percent, MinimumRequests: least, Window: window}
		return
	}
	b.SlowCalls = &policy.SlowCalls{Threshold: between(rng, 50*time.Millisecond, 200*time.Millisecond), Percent: percent / 3, MinimumRequests: least, Window: window}
}

// drawSettings draws a policy. In a calm round it bounds nothing that calls of such a round come near.
func drawSettings(rng *rand.Rand, f fixed, calm bool) policy.Settings {
	s := policy.Defaults()
	s.Breaker, s.RateLimit, s.Concurrency = f.breaker, f.rate, f.concurrency
	s.LoadBalancing = oneOf(rng, policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint)
	drawRetry(rng, &s.Retry)
	s.Timeouts.Overall = oneOf(rng, 0, 20*time.Second)
	s.Pool.MaxRequestsPerConnection = oneOf(rng, 0, 0, 1, 7)
	s.Pool.MaxIdlePerEndpoint = oneOf(rng, 64, 1)
	s.Pool.MaxStreams = oneOf(rng, 0, 2)
	if rng.IntN(3) == 0 {
		s.Fallback = &policy.Fallback{On: policy.FallbackOn{CircuitOpen: rng.IntN(2) == 0, RateLimited: rng.IntN(2) == 0}, Response: standIn}
	}
	if calm {
		return s
	}
	if f.breaker == nil { // what a breaker counts must be seen by servers
		s.Timeouts.PerTry = oneOf(rng, 0, between(rng, 30*time.Millisecond, 300*time.Millisecond))
		if rng.IntN(4) == 0 {
			s.Timeouts.Adaptive = policy.Adaptive{Min: between(rng, 20*time.Millisecond, 50*time.Millisecond), Max: between(rng, 60*time.Millisecond, 300*time.Millisecond), Deviations: 1000 * (1 + rng.IntN(4)), Window: 20 + rng.IntN(100)}
		}
		s.Timeouts.ResponseHeader = oneOf(rng, 0, 0, between(rng, 30*time.Millisecond, 300*time.Millisecond))
		s.Timeouts.Overall = oneOf(rng, 0, between(rng, 80*time.Millisecond, time.Second))
	}
	if rng.IntN(3) == 0 && !f.ill { // an attempt that is given up says nothing about its endpoint
		s.Retry.Hedging = policy.Hedging{Max: 1 + rng.IntN(2), Delay: between(rng, 10*time.Millisecond, 100*time.Millisecond)}
		if rng.IntN(2) == 0 {
			s.Retry.Hedging.Delay, s.Retry.Hedging.Percentile = 0, oneOf(rng, 50, 90, 99)
		}
	}
	if rng.IntN(3) == 0 {
		s.Pool.MaxConnections = 1 + rng.IntN(6)
		s.Pool.MaxPending, s.Pool.PendingTimeout = rng.IntN(8), between(rng, 10*time.Millisecond, time.Second)
	}
	return s
}

// standIn is the answer of fallbacks.
var standIn = &policy.FallbackResponse{Status: 480, Headers: []policy.HeaderField{{Name: standInField, Value: "%REASON%"}}, Body: "another answer"}

// standsIn reports whether calls that are answered for the reason are answered by the fallback.
func standsIn(s *policy.Settings, reason string) bool {
	return s.Fallback != nil && (reason == "circuit_open" && s.Fallback.On.CircuitOpen ||
		(reason == "rate_limited" || reason == "pool_overflow") && s.Fallback.On.RateLimited)
}

// dry is what a dry run looks at, which nothing is to come of: almost no call would be answered.
func dry() policy.Settings {
	s := policy.Defaults()
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1
	s.Breaker, s.RateLimit, s.Concurrency = &b, &policy.RateLimit{Requests: 1, Per: time.Second, Burst: 1}, &policy.Concurrency{Max: 1}
	s.Timeouts.Overall, s.Timeouts.PerTry = 2*time.Millisecond, time.Millisecond
	s.Retry.Idempotency, s.Retry.MaxRetries = policy.AnyMethod, 10
	s.Fallback = &policy.Fallback{On: policy.FallbackOn{CircuitOpen: true, RateLimited: true, RetriesExhausted: true}, Response: standIn}
	return s
}

func drawRetry(rng *rand.Rand, r *policy.Retry) {
	r.MaxRetries = rng.IntN(4)
	for c := policy.ConnectFailure; c <= policy.RetryAfterPresent; c++ {
		if rng.IntN(2) == 0 {
			r.On |= policy.Of(c)
		}
	}
	r.Backoff.Strategy = oneOf(rng, policy.Exponential, policy.Linear, policy.Fixed)
	r.Backoff.Initial, r.Backoff.Max = between(rng, time.Millisecond, 10*time.Millisecond), 20*time.Millisecond
	r.Idempotency = oneOf(rng, policy.SafeMethods, policy.IdempotentMethods, policy.IdempotentOrKeyed, policy.AnyMethod)
	r.GenerateKey = r.Idempotency == policy.IdempotentOrKeyed && rng.IntN(2) == 0
	r.RetryAfter = policy.RetryAfter{Honor: rng.IntN(2) == 0, Max: time.Second}
	r.Budget = oneOf(rng, policy.Budget{Percent: 100, MinPerSecond: 1000, Window: 10 * time.Second}, r.Budget, policy.Budget{Window: 10 * time.Second})
	r.BodyMaxBytes = oneOf[int64](rng, 64<<10, 1<<10, 0)
	r.AvoidPreviousEndpoints = rng.IntN(2) == 0
	r.SkipRetried = rng.IntN(3) == 0
	r.GRPCStatuses = drawStatuses(rng)
}

// snapshotOf is what the agent is sent.
func snapshotOf(s, ruled policy.Settings, pods []*pod, endpoints []netip.AddrPort) *policy.Snapshot {
	out := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: policy.ID{Namespace: "shop", Name: "p"}, Base: s,
			Rules: []policy.Rule{{
				Name: "r", Match: []policy.RequestMatch{{Headers: []policy.RequestHeader{{Name: strings.ToLower(ruleField), Type: policy.ValueExact, Value: "on"}}}}, Settings: ruled,
				OwnBudget: true, OwnAdaptive: true, OwnHedging: true,
			}},
			To: policy.Target{Kind: policy.TargetService, Service: service, Protocol: policy.ProtocolAuto, Ports: []uint16{80}},
		}}}},
		Destinations: map[string]*policy.Destination{service: {
			Name: service, ClusterIPs: []netip.Addr{original.Addr()}, Hostnames: []string{"up.shop"},
			Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(endpoints...)}},
		}},
	}
	bindings := &out.Profiles["p"].Bindings
	trial := (*bindings)[0]
	trial.Key, trial.Policy.Name, trial.Mode, trial.Base, trial.Rules = "dry", "dry", policy.ModeDryRun, dry(), nil
	*bindings = append(*bindings, trial)
	for _, p := range pods {
		out.Workloads[p.uid] = &policy.Workload{UID: p.uid, Namespace: "shop", Name: p.uid, Profile: "p"}
	}
	return out
}
