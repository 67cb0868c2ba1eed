package policy

import "time"

// Defaults returns the values in force where no policy says otherwise. It is the one place that holds them; the API types
// document the same numbers. Only connecting is bounded: a policy that asks for nothing but its destination must not cut or
// refuse a call that works without it (rule 0), so neither timeouts of calls nor limits of pools have a default.
func Defaults() Settings {
	return Settings{
		Timeouts: Timeouts{Connect: 5 * time.Second, TLSHandshake: 5 * time.Second},
		Retry: Retry{
			MaxRetries:             2,
			On:                     Of(ConnectFailure, RefusedStream, ResetBeforeRequest),
			Backoff:                DefaultBackoff(),
			RetryAfter:             RetryAfter{Honor: true, Max: 30 * time.Second},
			Idempotency:            IdempotentMethods,
			KeyHeader:              "Idempotency-Key",
			Budget:                 Budget{Percent: 20, MinPerSecond: 10, Window: 10 * time.Second},
			BodyMaxBytes:           64 << 10,
			AvoidPreviousEndpoints: true,
		},
		Pool: Pool{
			MaxIdlePerEndpoint: 64, IdleTimeout: time.Minute,
			MaxPending: 1024, PendingTimeout: time.Second, // they count only below a limit
			KeepAlive: KeepAlive{Idle: 30 * time.Second, Interval: 10 * time.Second, Probes: 3},
		},
		LoadBalancing: LeastRequest,
		AccessLog:     AccessLogErrors,
	}
}

// Untouched returns the settings of calls that no policy governs and a dry run looks at: nothing is repeated, nothing is bounded, and the
// cluster chooses among the endpoints of Services, as it does where nobody looks.
func Untouched() Settings {
	s := Defaults()
	s.Timeouts.Connect = 0
	s.Retry.MaxRetries, s.Retry.On, s.Retry.AvoidPreviousEndpoints = 0, 0, false
	s.LoadBalancing = ClusterIP
	s.AccessLog = AccessLogOff
	return s
}

// DefaultPingTimeout is how long the answer to a PING may take where a policy has connections checked and does not say.
const DefaultPingTimeout = 10 * time.Second

// DefaultAdaptive returns an adaptive timeout with every value but its bounds, which a policy must choose.
func DefaultAdaptive() Adaptive { return Adaptive{Deviations: 2000, Window: 200} }

// DefaultHedging returns hedging with every value but how long an attempt is waited for, which a policy must choose.
func DefaultHedging() Hedging { return Hedging{Max: 1} }

// DefaultBackoff returns the backoff of a retry block, and of an override, that does not write one.
func DefaultBackoff() Backoff {
	return Backoff{Strategy: Exponential, Initial: 25 * time.Millisecond, Max: 250 * time.Millisecond, Multiplier: 2, Jitter: JitterFull}
}

// DefaultTracing returns the tracing of a policy that writes the block and no more.
func DefaultTracing() Tracing { return Tracing{SamplePercent: 1} }

// DefaultBreaker returns a breaker with every value but its triggers, which a policy must choose.
func DefaultBreaker() Breaker {
	return Breaker{
		FailureOn:    Of(ConnectFailure, Reset, PerTryTimeout, ServerError),
		FailureGRPC:  []GRPCStatus{14, 13}, // UNAVAILABLE, INTERNAL
		OpenDuration: 10 * time.Second, OpenMaxDuration: 5 * time.Minute, OpenJitterPercent: 20,
		Probes: 1, SuccessesToClose: 1,
		Scope: ScopeDestination, MaxEjectedPercent: 50, Sharing: ShareNode,
	}
}

// DefaultRateLimit returns a rate limit with every value but its requests, which a policy must choose, and its burst, which is as many.
func DefaultRateLimit() RateLimit { return RateLimit{Per: time.Second, Scope: SharePod} }

// DefaultConcurrency returns a limit of concurrency with every value but its maximum, which a policy must choose.
func DefaultConcurrency() Concurrency { return Concurrency{Scope: SharePod} }

// DefaultAdaptiveConcurrency returns the bounds of an adaptive limit that writes none.
func DefaultAdaptiveConcurrency() AdaptiveConcurrency { return AdaptiveConcurrency{Min: 4, Max: 1000} }

// DefaultErrorRate returns an error rate trigger that writes no value.
func DefaultErrorRate() ErrorRate {
	return ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
}

// DefaultSlowCalls returns a slow call trigger with every value but its threshold, which a policy must choose.
func DefaultSlowCalls() SlowCalls {
	return SlowCalls{Percent: 80, MinimumRequests: 20, Window: 10 * time.Second}
}
