// Package blocks lists a policy for each block that a policy can have, and one with every block, for what measures what a block costs per call. It measures
// nothing itself.
package blocks

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Block is a block of a policy, or some of them, as added to a policy that says nothing but where calls go.
type Block struct {
	// Name is the block's in the API, or what is below it.
	Name string
	add  func(*policy.Binding)
}

// Nothing and Everything are the names of the least and of the most.
const (
	Nothing    = "nothing"
	Everything = "every block"
)

// All lists the blocks, Nothing first and Everything last. None of them rejects, delays or changes a call that succeeds within a second, but that
// requestHeaders adds a header field, and that hedging by percentile sends some calls twice: those slower than 99 % of the latest ones.
func All() []Block {
	all := []Block{
		{"timeouts", base(timeouts)},
		{"timeouts.adaptive", base(adaptive)},
		{"retry", base(retry)},
		{"retry.hedging.delay", base(hedgingLate)},
		{"retry.hedging.percentile", base(hedging)},
		{"circuitBreaker", base(breaker)},
		{"circuitBreaker.scope: Endpoint", base(endpointBreaker)},
		{"rateLimit", base(rateLimit)},
		{"concurrency", base(concurrency)},
		{"concurrency.adaptive", base(adaptiveConcurrency)},
		{"fallback", base(fallback)},
		{"connectionPool", base(pool)},
		{"requestHeaders", base(func(s *policy.Settings) { s.AttemptHeader = true })},
		{"rules", rules},
	}
	// A policy hedges in one way, and has one breaker and one limit of concurrency.
	together := slices.DeleteFunc(slices.Clone(all), func(b Block) bool {
		return slices.Contains([]string{"retry.hedging.delay", "circuitBreaker.scope: Endpoint", "concurrency"}, b.Name)
	})
	every := func(b *policy.Binding) {
		for _, block := range together {
			block.add(b)
		}
	}
	all = slices.Insert(all, 0, Block{Nothing, func(*policy.Binding) {}})
	return append(all, with("every block, scope: Endpoint", every, endpointBreaker), with("every block, hedging.delay", every, hedgingLate), Block{Everything, every})
}

// with is everything but for a block that excludes another.
func with(name string, every func(*policy.Binding), instead func(*policy.Settings)) Block {
	return Block{name, func(b *policy.Binding) {
		every(b)
		instead(&b.Base)
		instead(&b.Rules[0].Settings)
	}}
}

// Binding returns the policy for calls to a destination.
func (b Block) Binding(to policy.Target) policy.Binding {
	out := policy.Binding{Key: "bench", Policy: policy.ID{Namespace: "bench", Name: "bench"}, To: to, Base: policy.Defaults()}
	b.add(&out)
	return out
}

func base(change func(*policy.Settings)) func(*policy.Binding) {
	return func(b *policy.Binding) { change(&b.Base) }
}

func timeouts(s *policy.Settings) {
	const long = time.Minute
	s.Timeouts = policy.Timeouts{
		Connect: time.Second, TLSHandshake: time.Second, PerTry: 10 * time.Second, ResponseHeader: 10 * time.Second,
		Idle: long, Read: long, Write: long, Overall: 30 * time.Second, MaxDuration: long,
	}
}

func adaptive(s *policy.Settings) {
	s.Timeouts.Adaptive = policy.DefaultAdaptive()
	s.Timeouts.Adaptive.Min, s.Timeouts.Adaptive.Max = time.Second, 10*time.Second
}

func retry(s *policy.Settings) {
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.RefusedStream, policy.ResetBeforeRequest, policy.Reset, policy.PerTryTimeout, policy.GatewayError,
		policy.RateLimited)
	s.Retry.StatusCodes = []policy.StatusRange{{From: 500, To: 500}, {From: 520, To: 599}}
	s.Retry.ResponseHeaders = []policy.HeaderMatch{{Name: "x-try-again"}}
	s.Retry.Overrides = []policy.RetryOverride{{On: policy.Of(policy.RateLimited), MaxRetries: 1, Backoff: policy.DefaultBackoff()}}
}

func hedging(s *policy.Settings) {
	s.Retry.Hedging = policy.DefaultHedging()
	s.Retry.Hedging.Percentile = 99
}

// hedgingLate starts no hedge: what it costs to watch for one.
func hedgingLate(s *policy.Settings) {
	s.Retry.Hedging = policy.DefaultHedging()
	s.Retry.Hedging.Delay = 5 * time.Second
}

func breaker(s *policy.Settings) {
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1000
	rate, slow := policy.DefaultErrorRate(), policy.DefaultSlowCalls()
	slow.Threshold = 5 * time.Second
	b.ErrorRate, b.SlowCalls = &rate, &slow
	s.Breaker = &b
}

func endpointBreaker(s *policy.Settings) {
	breaker(s)
	s.Breaker.Scope = policy.ScopeEndpoint
}

func rateLimit(s *policy.Settings) {
	l := policy.DefaultRateLimit()
	l.Requests, l.Burst, l.Scope, l.MaxWait = 10_000_000, 10_000_000, policy.ShareNode, time.Second
	s.RateLimit = &l
}

func concurrency(s *policy.Settings) {
	c := policy.DefaultConcurrency()
	c.Max, c.MaxQueued, c.MaxWait, c.Scope = 1000, 100, time.Second, policy.ShareNode
	s.Concurrency = &c
}

func adaptiveConcurrency(s *policy.Settings) {
	concurrency(s)
	s.Concurrency.Max, s.Concurrency.Adaptive = 0, &policy.AdaptiveConcurrency{Min: 100, Max: 1000}
}

func fallback(s *policy.Settings) {
	s.Fallback = &policy.Fallback{
		On:       policy.FallbackOn{CircuitOpen: true, RetriesExhausted: true, RateLimited: true},
		Response: &policy.FallbackResponse{Status: 503, Body: "later: %REASON%"},
	}
}

func pool(s *policy.Settings) {
	s.Pool.MaxConnections, s.Pool.MaxConnectionsPerEndpoint, s.Pool.MaxIdlePerEndpoint = 20000, 20000, 20000
	s.Pool.MaxLifetime, s.Pool.MaxRequestsPerConnection = time.Hour, 1_000_000_000
}

// rules governs calls by a rule whose matches are of every kind, and of which the last one fits: by method, path, host and header fields, with regular
// expressions. The rule says what the policy says, so it must be added last.
func rules(b *policy.Binding) {
	b.Rules = []policy.Rule{{Name: "last", Settings: b.Base, Match: []policy.RequestMatch{
		{Methods: []string{"PATCH"}},
		{PathType: policy.PathPrefix, Path: "/v1/reports"},
		{Host: "*.elsewhere.example"},
		{Headers: []policy.RequestHeader{{Name: "x-priority", Type: policy.ValueExact, Value: "batch"}}},
		{
			PathType: policy.PathRegularExpression, Path: "/((some|other)/.*)?",
			Headers: []policy.RequestHeader{{Name: "user-agent", Type: policy.ValueRegularExpression, Value: "[a-z]+(/[0-9]+)?"}},
		},
	}}}
}
