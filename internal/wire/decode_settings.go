package wire

import (
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func (d *decoder) settings(m *pb.Settings) policy.Settings {
	t, p := m.GetTimeouts(), m.GetPool()
	return policy.Settings{
		Timeouts: policy.Timeouts{
			Connect: d.duration(t.GetConnect()), PerTry: d.duration(t.GetPerTry()), ResponseHeader: d.duration(t.GetResponseHeader()),
			Idle: d.duration(t.GetIdle()), Read: d.duration(t.GetRead()), Write: d.duration(t.GetWrite()),
			Overall: d.duration(t.GetOverall()), MaxDuration: d.duration(t.GetMaxDuration()),
			TLSHandshake: d.tlsHandshake(t), Adaptive: d.adaptive(t.GetAdaptive()),
		},
		Retry: d.retry(m.GetRetry()),
		Pool: policy.Pool{
			MaxConnections: d.count(p.GetMaxConnections()), MaxConnectionsPerEndpoint: d.count(p.GetMaxConnectionsPerEndpoint()),
			MaxIdlePerEndpoint: d.count(p.GetMaxIdlePerEndpoint()), IdleTimeout: d.duration(p.GetIdleTimeout()),
			MaxLifetime: d.duration(p.GetMaxLifetime()), MaxRequestsPerConnection: d.count(p.GetMaxRequestsPerConnection()),
			MaxPending: d.count(p.GetMaxPending()), PendingTimeout: d.duration(p.GetPendingTimeout()),
			KeepAlive: policy.KeepAlive{
				Idle: d.duration(p.GetKeepAliveIdle()), Interval: d.duration(p.GetKeepAliveInterval()), Probes: d.count(p.GetKeepAliveProbes()),
			},
			MaxStreams: d.count(p.GetMaxStreams()), PingInterval: d.duration(p.GetPingInterval()), PingTimeout: d.duration(p.GetPingTimeout()),
		},
		Breaker:       d.breaker(m.GetBreaker()),
		Fallback:      d.fallback(m.GetFallback()),
		Faults:        d.faults(m.GetFaults()),
		LoadBalancing: dec[policy.LoadBalancing](d, loadBalancings, m.GetLoadBalancing()),
		AccessLog:     dec[policy.AccessLog](d, accessLogs, m.GetAccessLog()),
		RateLimit:     d.rateLimit(m.GetRateLimit()),
		Concurrency:   d.concurrency(m.GetConcurrency()),
		AttemptHeader: m.GetAttemptHeader(),
		Tracing:       d.tracing(m.GetTracing()),
	}
}

func (d *decoder) tracing(m *pb.Tracing) *policy.Tracing {
	if m == nil {
		return nil
	}
	return &policy.Tracing{SamplePercent: d.count(m.GetSamplePercent())}
}

func (d *decoder) tlsHandshake(t *pb.Timeouts) time.Duration {
	if t == nil || t.TlsHandshake == nil {
		return policy.Defaults().Timeouts.TLSHandshake
	}
	return d.duration(t.GetTlsHandshake())
}

func (d *decoder) adaptive(m *pb.Adaptive) policy.Adaptive {
	return policy.Adaptive{Min: d.duration(m.GetMin()), Max: d.duration(m.GetMax()), Deviations: d.count(m.GetDeviations()), Window: d.count(m.GetWindow())}
}

func (d *decoder) retry(m *pb.Retry) policy.Retry {
	for _, n := range []int{len(m.GetStatusCodes()), len(m.GetResponseHeaders()), len(m.GetGrpcStatuses()), len(m.GetOverrides())} {
		d.limit("entries of a retry list", n, maxList)
	}
	if d.err != nil {
		return policy.Retry{}
	}
	return policy.Retry{
		MaxRetries:  d.count(m.GetMaxRetries()),
		On:          d.conditions(m.GetOn()),
		StatusCodes: each(m.GetStatusCodes(), d.statusRange),
		ResponseHeaders: each(m.GetResponseHeaders(), func(h *pb.HeaderMatch) policy.HeaderMatch {
			return policy.HeaderMatch{Name: h.GetName(), Value: h.GetValue()}
		}),
		GRPCStatuses: each(m.GetGrpcStatuses(), d.grpcStatus),
		Overrides:    each(m.GetOverrides(), d.override),
		Backoff:      d.backoff(m.GetBackoff()),
		RetryAfter:   policy.RetryAfter{Honor: m.GetRetryAfterHonor(), Max: d.duration(m.GetRetryAfterMax())},
		Idempotency:  dec[policy.Idempotency](d, idempotencies, m.GetIdempotency()),
		KeyHeader:    m.GetKeyHeader(),
		GenerateKey:  m.GetGenerateKey(),
		Budget: policy.Budget{
			Percent: d.percent(m.GetBudget().GetPercent()), MinPerSecond: d.count(m.GetBudget().GetMinPerSecond()),
			Window: d.duration(m.GetBudget().GetWindow()),
		},
		BodyMaxBytes:           d.size(m.GetBodyMaxBytes()),
		AvoidPreviousEndpoints: m.GetAvoidPreviousEndpoints(),
		Hedging:                d.hedging(m.GetHedging()),
		SkipRetried:            m.GetSkipRetried(),
	}
}

func (d *decoder) hedging(m *pb.Hedging) policy.Hedging {
	return policy.Hedging{Max: d.count(m.GetMax()), Delay: d.duration(m.GetDelay()), Percentile: d.count(m.GetPercentile())}
}

func (d *decoder) statusRange(s *pb.StatusRange) policy.StatusRange {
	return policy.StatusRange{From: d.u16(s.GetFrom()), To: d.u16(s.GetTo())}
}

func (d *decoder) override(o *pb.RetryOverride) policy.RetryOverride {
	d.limit("entries of an override", max(len(o.GetStatusCodes()), len(o.GetGrpcStatuses())), maxList)
	return policy.RetryOverride{
		On: d.conditions(o.GetOn()), StatusCodes: each(o.GetStatusCodes(), d.statusRange), GRPCStatuses: each(o.GetGrpcStatuses(), d.grpcStatus),
		MaxRetries: d.count(o.GetMaxRetries()), Backoff: d.backoff(o.GetBackoff()),
	}
}

func (d *decoder) backoff(m *pb.Backoff) policy.Backoff {
	return policy.Backoff{
		Strategy: dec[policy.Strategy](d, strategies, m.GetStrategy()), Initial: d.duration(m.GetInitial()), Max: d.duration(m.GetMax()),
		Multiplier: d.multiplier(m.GetMultiplier()), Jitter: dec[policy.Jitter](d, jitters, m.GetJitter()), JitterPercent: d.percent(m.GetJitterPercent()),
	}
}

func (d *decoder) breaker(m *pb.Breaker) *policy.Breaker {
	if m == nil {
		return nil
	}
	d.limit("entries of a breaker's lists", max(len(m.GetFailureStatus()), len(m.GetFailureGrpc())), maxList)
	b := &policy.Breaker{
		ConsecutiveFailures: d.count(m.GetConsecutiveFailures()), FailureOn: d.conditions(m.GetFailureOn()),
		FailureStatus: each(m.GetFailureStatus(), d.statusRange), FailureGRPC: each(m.GetFailureGrpc(), d.grpcStatus), OpenDuration: d.duration(m.GetOpenDuration()),
		OpenMaxDuration: d.duration(m.GetOpenMaxDuration()), OpenJitterPercent: d.percent(m.GetOpenJitterPercent()),
		Probes: d.count(m.GetProbes()), SuccessesToClose: d.count(m.GetSuccessesToClose()),
		Scope: dec[policy.BreakerScope](d, breakerScopes, m.GetScope()), MaxEjectedPercent: d.percent(m.GetMaxEjectedPercent()),
		Sharing: dec[policy.Sharing](d, sharings, m.GetSharing()),
	}
	if r := m.GetErrorRate(); r != nil {
		b.ErrorRate = &policy.ErrorRate{Percent: d.percent(r.GetPercent()), MinimumRequests: d.count(r.GetMinimumRequests()), Window: d.duration(r.GetWindow())}
	}
	if c := m.GetSlowCalls(); c != nil {
		b.SlowCalls = &policy.SlowCalls{
			Threshold: d.duration(c.GetThreshold()), Percent: d.percent(c.GetPercent()),
			MinimumRequests: d.count(c.GetMinimumRequests()), Window: d.duration(c.GetWindow()),
		}
	}
	return b
}

func (d *decoder) fallback(m *pb.Fallback) *policy.Fallback {
	if m == nil {
		return nil
	}
	f := &policy.Fallback{On: policy.FallbackOn{
		CircuitOpen: m.GetCircuitOpen(), RetriesExhausted: m.GetRetriesExhausted(), RateLimited: m.GetRateLimited(),
	}}
	if r := m.GetResponse(); r != nil {
		d.limit("fields of a response", len(r.GetHeaders()), maxList)
		f.Response = &policy.FallbackResponse{Status: d.count(r.GetStatus()), Body: r.GetBody()}
		f.Response.Headers = each(r.GetHeaders(), func(h *pb.HeaderMatch) policy.HeaderField {
			return policy.HeaderField{Name: h.GetName(), Value: h.GetValue()}
		})
	}
	if m.GetDestination() != nil {
		f.Destination = d.backup(m.GetDestination())
	}
	return f
}

// backup reads what is called instead: one destination.
func (d *decoder) backup(m *pb.Target) *policy.Target {
	t := d.target(m)
	if t.Kind != policy.TargetService && t.Kind != policy.TargetHost || len(t.Ports) > 1 || strings.HasPrefix(t.Host, "*") {
		d.fail("a fallback that is not one Service or host with one port")
	}
	return &t
}
