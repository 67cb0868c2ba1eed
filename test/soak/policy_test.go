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
	forced      policy.ForcedBreaker
	from, until time.Time // until: zero as long as it is in force
	drains      bool      // an agent had it that was asked to stop: it hears of no other, and goes by it as long as it has connections
}

func oneOf[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func between(rng *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)))
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
	s.Fallback = drawFallback(rng)
	switch {
	case f.kind == kindOpaque:
		drawOpaque(rng, f, &s)
	case calm || f.kind.fails():
	case f.kind == kindRetries:
		makeExact(rng, &s)
	case f.kind == kindForced:
		makeExact(rng, &s)
	case f.kind == kindFaults:
		makeExact(rng, &s)
		s.Retry.MaxRetries, s.Retry.Overrides, s.Fallback, s.Faults = 0, nil, nil, drawFaults(rng)
	case f.kind == kindTimeouts:
		makeExact(rng, &s)
		s.Retry.On, s.Retry.Overrides, s.Fallback = policy.Of(policy.ConnectFailure), nil, nil
		drawStageBounds(rng, f.variant, &s.Timeouts)
	case f.kind == kindHedges:
		makeExact(rng, &s)
		s.Retry.Hedging = policy.Hedging{Max: 1 + rng.IntN(2), Delay: between(rng, 20*time.Millisecond, 100*time.Millisecond)}
	default:
		drawBounds(rng, f, &s)
	}
	return s
}

// makeExact leaves nothing to what cannot be known.
func makeExact(rng *rand.Rand, s *policy.Settings) {
	s.Retry.Budget = oneOf(rng, ample, ample, ample, policy.Budget{Window: 10 * time.Second})
	s.Pool.MaxRequestsPerConnection, s.Pool.MaxIdlePerEndpoint = 0, 64
}

// drawBounds draws what ends attempts and calls that last.
func drawBounds(rng *rand.Rand, f fixed, s *policy.Settings) {
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

// ample is a budget that allows whatever a round can have retried.
var ample = policy.Budget{Percent: 100, MinPerSecond: 100_000, Window: 10 * time.Second}

func drawRetry(rng *rand.Rand, r *policy.Retry) {
	r.MaxRetries = rng.IntN(4)
	r.On = drawConditions(rng)
	r.Backoff = drawBackoff(rng)
	r.Idempotency = oneOf(rng, policy.SafeMethods, policy.IdempotentMethods, policy.IdempotentOrKeyed, policy.AnyMethod)
	r.GenerateKey = r.Idempotency == policy.IdempotentOrKeyed && rng.IntN(2) == 0
	r.RetryAfter = policy.RetryAfter{Honor: rng.IntN(3) > 0, Max: oneOf(rng, 100*time.Millisecond, time.Second)}
	r.Budget = oneOf(rng, ample, r.Budget, policy.Budget{Window: 10 * time.Second}, policy.Budget{Percent: 10, Window: 10 * time.Second})
	r.BodyMaxBytes = oneOf[int64](rng, 64<<10, 1<<10, 0)
	r.AvoidPreviousEndpoints = rng.IntN(2) == 0
	r.SkipRetried = rng.IntN(3) == 0
	r.GRPCStatuses = drawStatuses(rng)
	for range oneOf(rng, 0, 0, 1, 2) {
		r.Overrides = append(r.Overrides, drawOverride(rng))
	}
}

func drawConditions(rng *rand.Rand) (set policy.Conditions) {
	for c := policy.ConnectFailure; c <= policy.RetryAfterPresent; c++ {
		if rng.IntN(2) == 0 {
			set |= policy.Of(c)
		}
	}
	return set
}

func drawBackoff(rng *rand.Rand) policy.Backoff {
	b := policy.DefaultBackoff()
	b.Strategy = oneOf(rng, policy.Exponential, policy.Linear, policy.Fixed)
	b.Jitter = oneOf(rng, policy.JitterFull, policy.JitterNone, policy.JitterEqual)
	b.Initial, b.Max = between(rng, time.Millisecond, 10*time.Millisecond), 20*time.Millisecond
	return b
}

// drawOverride draws what holds for some failures, whatever holds for the others.
func drawOverride(rng *rand.Rand) policy.RetryOverride {
	o := policy.RetryOverride{MaxRetries: rng.IntN(4), Backoff: drawBackoff(rng)}
	switch rng.IntN(3) {
	case 0:
		o.On = policy.Of(oneOf(rng, policy.ConnectFailure, policy.Reset, policy.PerTryTimeout, policy.ServerError, policy.RateLimited, policy.GatewayError))
	case 1:
		o.StatusCodes = []policy.StatusRange{oneOf(rng, policy.StatusRange{From: 404, To: 409}, policy.StatusRange{From: 500, To: 502}, policy.StatusRange{From: 503, To: 599})}
	case 2:
		o.GRPCStatuses = []policy.GRPCStatus{oneOf[policy.GRPCStatus](rng, 10, 12, 13, 14)}
	}
	return o
}

// mostRetries is how many retries a policy may have of one call.
func mostRetries(r *policy.Retry) int {
	most := r.MaxRetries
	for i := range r.Overrides {
		most = max(most, r.Overrides[i].MaxRetries)
	}
	return most
}

// longestBackoff is how long it may have calls wait before one, unless a server wants more.
func longestBackoff(r *policy.Retry) time.Duration {
	longest := r.Backoff.Max
	for i := range r.Overrides {
		longest = max(longest, r.Overrides[i].Backoff.Max)
	}
	return longest
}

// snapshotOf is what the agent is sent.
func snapshotOf(s, ruled policy.Settings, pods []*pod, endpoints ...netip.AddrPort) *policy.Snapshot {
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
