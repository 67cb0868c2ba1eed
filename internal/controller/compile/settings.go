package compile

import (
	"math"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// settingsOf returns the complete settings that a merged body means: what it sets, over policy.Defaults.
func settingsOf(body *v1alpha1.PolicyBody) policy.Settings {
	s := policy.Defaults()
	setTimeouts(&s.Timeouts, body.Timeouts)
	setRetry(&s.Retry, body.Retry)
	setPool(&s.Pool, body.ConnectionPool)
	s.Breaker = breakerOf(body.CircuitBreaker)
	s.RateLimit, s.Concurrency = rateLimitOf(body.RateLimit), concurrencyOf(body.Concurrency)
	s.Fallback, s.Faults = fallbackOf(body.Fallback), faultsOf(body.Faults)
	if lb := body.LoadBalancing; lb != nil {
		s.LoadBalancing = loadBalancingOf(lb.Policy)
	}
	if o := body.Observability; o != nil {
		s.AccessLog = accessLogOf(o.AccessLog)
		s.Tracing = tracingOf(o.Tracing)
		if o.RequestHeaders != nil {
			setBool(&s.AttemptHeader, o.RequestHeaders.Attempt)
		}
	}
	return s
}

// tracingOf returns nil when the block is absent.
func tracingOf(in *v1alpha1.Tracing) *policy.Tracing {
	if in == nil {
		return nil
	}
	t := policy.DefaultTracing()
	setInt(&t.SamplePercent, in.SamplePercent)
	return &t
}

func setTimeouts(t *policy.Timeouts, in *v1alpha1.Timeouts) {
	if in == nil {
		return
	}
	t.Read, t.Write = 0, 0
	setDuration(&t.Connect, in.Connect)
	setDuration(&t.TLSHandshake, in.TLSHandshake)
	setDuration(&t.PerTry, in.PerTry)
	setDuration(&t.ResponseHeader, in.ResponseHeader)
	setDuration(&t.Idle, in.Idle)
	setDuration(&t.Read, in.Read)
	setDuration(&t.Write, in.Write)
	setDuration(&t.Overall, in.Overall)
	setDuration(&t.MaxDuration, in.MaxDuration)
	t.Adaptive = adaptiveOf(in.Adaptive)
	// Without a bound of their own, reading and writing have that of idleness.
	if t.Read == 0 {
		t.Read = t.Idle
	}
	if t.Write == 0 {
		t.Write = t.Idle
	}
}

// adaptiveOf returns the zero value when the block is absent or switched off.
func adaptiveOf(in *v1alpha1.AdaptiveTimeout) policy.Adaptive {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled {
		return policy.Adaptive{}
	}
	a := policy.DefaultAdaptive()
	setDuration(&a.Min, in.Min)
	setDuration(&a.Max, in.Max)
	a.Max = max(a.Max, a.Min)
	if in.Deviations != "" {
		if f, err := in.Deviations.Parse(); err == nil {
			a.Deviations = int(math.Round(1000 * f))
		}
	}
	setInt(&a.Window, in.Window)
	return a
}

func setRetry(r *policy.Retry, in *v1alpha1.Retry) {
	if in == nil {
		return
	}
	setInt(&r.MaxRetries, in.MaxRetries)
	if in.When != nil {
		r.On = conditionsOf(in.When)
	}
	r.StatusCodes = statusesOf(in.StatusCodes)
	for _, h := range in.ResponseHeaders {
		r.ResponseHeaders = append(r.ResponseHeaders, policy.HeaderMatch{Name: strings.ToLower(string(h.Name)), Value: h.Value})
	}
	r.GRPCStatuses = grpcOf(in.GRPCStatuses)
	r.Backoff = backoffOf(in.Backoff)
	r.Overrides = overridesOf(in.Overrides, r)
	if ra := in.RetryAfter; ra != nil {
		setBool(&r.RetryAfter.Honor, ra.Honor)
		setDuration(&r.RetryAfter.Max, ra.Max)
	}
	if id := in.Idempotency; id != nil {
		r.Idempotency = idempotencyOf(id.Mode)
		if id.KeyHeader != "" {
			r.KeyHeader = string(id.KeyHeader)
		}
		setBool(&r.GenerateKey, id.GenerateKey)
	}
	if b := in.Budget; b != nil {
		setInt(&r.Budget.Percent, b.Percent)
		setInt(&r.Budget.MinPerSecond, b.MinRetriesPerSecond)
		setDuration(&r.Budget.Window, b.Window)
	}
	if in.Body != nil && in.Body.MaxBytes != nil {
		r.BodyMaxBytes = in.Body.MaxBytes.Value()
	}
	setBool(&r.AvoidPreviousEndpoints, in.AvoidPreviousEndpoints)
	r.Hedging = hedgingOf(in.Hedging)
	r.SkipRetried = in.AlreadyRetried == v1alpha1.AlreadyRetriedSkip
}

// hedgingOf returns the zero value when the block is absent or switched off.
func hedgingOf(in *v1alpha1.Hedging) policy.Hedging {
	if in == nil {
		return policy.Hedging{}
	}
	h := policy.DefaultHedging()
	setInt(&h.Max, in.MaxHedges)
	setDuration(&h.Delay, in.Delay)
	setInt(&h.Percentile, in.Percentile)
	if h.Max == 0 || h.Delay == 0 && h.Percentile == 0 {
		return policy.Hedging{}
	}
	return h
}

// overridesOf returns the overrides with what they leave out taken from r.
func overridesOf(list []v1alpha1.RetryOverride, r *policy.Retry) []policy.RetryOverride {
	var out []policy.RetryOverride
	for i := range list {
		o := policy.RetryOverride{
			On: conditionsOf(list[i].When), StatusCodes: statusesOf(list[i].StatusCodes), GRPCStatuses: grpcOf(list[i].GRPCStatuses),
			MaxRetries: r.MaxRetries, Backoff: r.Backoff,
		}
		setInt(&o.MaxRetries, list[i].MaxRetries)
		if list[i].Backoff != nil {
			o.Backoff = backoffOf(list[i].Backoff)
		}
		out = append(out, o)
	}
	return out
}

func backoffOf(in *v1alpha1.Backoff) policy.Backoff {
	b := policy.DefaultBackoff()
	if in == nil {
		return b
	}
	b.Strategy = strategyOf(in.Strategy)
	setDuration(&b.Initial, in.InitialInterval)
	b.Max = 10 * b.Initial
	setDuration(&b.Max, in.MaxInterval)
	// One policy cannot write a cap below the start, but two merged ones can.
	b.Max = max(b.Max, b.Initial)
	if in.Multiplier != "" {
		if f, err := in.Multiplier.Parse(); err == nil {
			b.Multiplier = f
		}
	}
	b.Jitter = jitterOf(in.Jitter)
	if b.Jitter == policy.JitterProportional || b.Jitter == policy.JitterAdditive {
		setInt(&b.JitterPercent, in.JitterPercent)
	}
	return b
}

func setPool(p *policy.Pool, in *v1alpha1.ConnectionPool) {
	if in == nil {
		return
	}
	setInt(&p.MaxConnections, in.MaxConnections)
	setInt(&p.MaxConnectionsPerEndpoint, in.MaxConnectionsPerEndpoint)
	setInt(&p.MaxIdlePerEndpoint, in.MaxIdlePerEndpoint)
	setDuration(&p.IdleTimeout, in.IdleTimeout)
	setDuration(&p.MaxLifetime, in.MaxLifetime)
	setInt(&p.MaxRequestsPerConnection, in.MaxRequestsPerConnection)
	setInt(&p.MaxPending, in.MaxPending)
	setDuration(&p.PendingTimeout, in.PendingTimeout)
	if k := in.TCPKeepAlive; k != nil {
		setDuration(&p.KeepAlive.Idle, k.Idle)
		setDuration(&p.KeepAlive.Interval, k.Interval)
		setInt(&p.KeepAlive.Probes, k.Probes)
	}
	if h := in.HTTP2; h != nil {
		setInt(&p.MaxStreams, h.MaxConcurrentStreams)
		setDuration(&p.PingInterval, h.PingInterval)
		if p.PingTimeout = 0; p.PingInterval > 0 {
			p.PingTimeout = policy.DefaultPingTimeout
			setDuration(&p.PingTimeout, h.PingTimeout)
		}
	}
	p.MaxConnectionsPerEndpoint = atMost(p.MaxConnectionsPerEndpoint, p.MaxConnections)
	if limit := p.MaxConnectionsPerEndpoint; limit > 0 {
		p.MaxIdlePerEndpoint = min(p.MaxIdlePerEndpoint, limit)
	}
}

// atMost returns a limit that is nowhere above another; zero means none for both.
func atMost(limit, other int) int {
	if limit == 0 || other > 0 && other < limit {
		return other
	}
	return limit
}

// breakerOf returns nil when the breaker is absent, switched off, or has no trigger that agents know.
func breakerOf(in *v1alpha1.CircuitBreaker) *policy.Breaker {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled || (in.ConsecutiveFailures == nil && in.ErrorRate == nil && in.SlowCalls == nil) {
		return nil
	}
	b := policy.DefaultBreaker()
	setInt(&b.ConsecutiveFailures, in.ConsecutiveFailures)
	setTriggers(&b, in)
	if f := in.Failures; f != nil {
		if f.When != nil {
			b.FailureOn = conditionsOf(f.When)
		}
		b.FailureStatus = statusesOf(f.StatusCodes)
		if f.GRPCStatuses != nil {
			b.FailureGRPC = grpcOf(f.GRPCStatuses)
		}
	}
	if o := in.Open; o != nil {
		setDuration(&b.OpenDuration, o.Duration)
		setDuration(&b.OpenMaxDuration, o.MaxDuration)
		setInt(&b.OpenJitterPercent, o.JitterPercent)
	}
	b.OpenMaxDuration = max(b.OpenMaxDuration, b.OpenDuration)
	if h := in.HalfOpen; h != nil {
		setInt(&b.Probes, h.Probes)
		setInt(&b.SuccessesToClose, h.SuccessesToClose)
	}
	switch in.Sharing {
	case v1alpha1.SharingPod:
		b.Sharing = policy.SharePod
	case v1alpha1.SharingCluster:
		b.Sharing = policy.ShareCluster
	case v1alpha1.SharingNode:
		b.Sharing = policy.ShareNode
	}
	if in.Scope == v1alpha1.BreakerScopeEndpoint {
		b.Scope = policy.ScopeEndpoint
	}
	setInt(&b.MaxEjectedPercent, in.MaxEjectedPercent)
	return &b
}

func setTriggers(b *policy.Breaker, in *v1alpha1.CircuitBreaker) {
	if e := in.ErrorRate; e != nil {
		t := policy.DefaultErrorRate()
		setInt(&t.Percent, e.Percent)
		setInt(&t.MinimumRequests, e.MinimumRequests)
		setDuration(&t.Window, e.Window)
		b.ErrorRate = &t
	}
	if c := in.SlowCalls; c != nil {
		t := policy.DefaultSlowCalls()
		setDuration(&t.Threshold, c.Threshold)
		setInt(&t.Percent, c.Percent)
		setInt(&t.MinimumRequests, c.MinimumRequests)
		setDuration(&t.Window, c.Window)
		b.SlowCalls = &t
	}
}
