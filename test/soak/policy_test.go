package soak

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// original is the address that pods call: the destination's own.
var original = netip.MustParseAddrPort("10.96.0.10:80")

const service = "shop/up"

// version is a policy and when it was in force, at most.
type version struct {
	settings    policy.Settings
	from, until time.Time // until: zero as long as it is in force
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
	kind := rng.IntN(7)
	switch kind {
	case 0, 3:
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.Sharing = 1+rng.IntN(4), oneOf(rng, policy.ShareNode, policy.SharePod)
		b.OpenDuration, b.OpenJitterPercent, b.Probes = between(rng, 100*time.Millisecond, 400*time.Millisecond), oneOf(rng, 0, 20), 1+rng.IntN(2)
		f.breaker = &b
		if f.ill = kind == 3; f.ill {
			b.Scope, b.MaxEjectedPercent, b.OpenDuration = policy.ScopeEndpoint, oneOf(rng, 34, 50, 100), 2*b.OpenDuration
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
	}
	return f
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
	if calm {
		return s
	}
	if f.breaker == nil { // what a breaker counts must be seen by servers
		s.Timeouts.PerTry = oneOf(rng, 0, between(rng, 30*time.Millisecond, 300*time.Millisecond))
		s.Timeouts.ResponseHeader = oneOf(rng, 0, 0, between(rng, 30*time.Millisecond, 300*time.Millisecond))
		s.Timeouts.Overall = oneOf(rng, 0, between(rng, 80*time.Millisecond, time.Second))
	}
	if rng.IntN(3) == 0 && !f.ill { // an attempt that is given up says nothing about its endpoint
		s.Retry.Hedging = policy.Hedging{Max: 1 + rng.IntN(2), Delay: between(rng, 10*time.Millisecond, 100*time.Millisecond)}
	}
	if rng.IntN(3) == 0 {
		s.Pool.MaxConnections = 1 + rng.IntN(6)
		s.Pool.MaxPending, s.Pool.PendingTimeout = rng.IntN(8), between(rng, 10*time.Millisecond, time.Second)
	}
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
func snapshotOf(s policy.Settings, pods []*pod, endpoints []netip.AddrPort) *policy.Snapshot {
	out := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: policy.ID{Namespace: "shop", Name: "p"}, Base: s,
			To: policy.Target{Kind: policy.TargetService, Service: service, Protocol: policy.ProtocolAuto, Ports: []uint16{80}},
		}}}},
		Destinations: map[string]*policy.Destination{service: {
			Name: service, ClusterIPs: []netip.Addr{original.Addr()}, Hostnames: []string{"up.shop"},
			Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(endpoints...)}},
		}},
	}
	for _, p := range pods {
		out.Workloads[p.uid] = &policy.Workload{UID: p.uid, Namespace: "shop", Name: p.uid, Profile: "p"}
	}
	return out
}
