package effective

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// row is a field of the API and its value in force.
type row struct {
	path, value string
	// builtin is the value of a field below a block that is off by default, if the block is written without the field.
	builtin string
}

// table collects rows in the order of the API.
type table struct {
	rows  []row
	block string
}

func (t *table) add(field, value string) { t.addOf(field, value, "") }

func (t *table) addOf(field, value, builtin string) {
	if t.block != "" {
		field = strings.TrimSuffix(t.block+"."+field, ".")
	}
	t.rows = append(t.rows, row{field, value, builtin})
}

const off, none, unlimited = "off", "none", "unlimited"

// rows returns every field that decides about a call, by its path below spec, and its value in force. Blocks that are off are one row.
func rows(s *policy.Settings) []row {
	var t table
	t.timeouts(&s.Timeouts)
	t.retry(&s.Retry)
	t.breaker(s.Breaker)
	t.limits(s.RateLimit, s.Concurrency)
	t.fallback(s.Fallback)
	t.faults(s.Faults)
	t.pool(&s.Pool)
	t.block = ""
	t.add("loadBalancing.policy", s.LoadBalancing.String())
	t.add("observability.accessLog", s.AccessLog.String())
	if s.Tracing == nil {
		t.add("observability.tracing", off)
	} else {
		d := policy.DefaultTracing()
		t.addOf("observability.tracing.samplePercent", number(s.Tracing.SamplePercent), number(d.SamplePercent))
	}
	t.add("observability.requestHeaders.attempt", strconv.FormatBool(s.AttemptHeader))
	return t.rows
}

func (t *table) timeouts(s *policy.Timeouts) {
	t.block = "timeouts"
	t.add("connect", limit(s.Connect))
	t.add("tlsHandshake", limit(s.TLSHandshake))
	t.add("perTry", limit(s.PerTry))
	t.add("responseHeader", limit(s.ResponseHeader))
	t.add("idle", limit(s.Idle))
	t.add("read", limit(s.Read))
	t.add("write", limit(s.Write))
	t.add("overall", limit(s.Overall))
	t.add("maxDuration", limit(s.MaxDuration))
	if !s.Adaptive.On() {
		t.add("adaptive", off)
		return
	}
	d := policy.DefaultAdaptive()
	t.add("adaptive.min", limit(s.Adaptive.Min))
	t.add("adaptive.max", limit(s.Adaptive.Max))
	t.addOf("adaptive.deviations", factor(float64(s.Adaptive.Deviations)/1000), factor(float64(d.Deviations)/1000))
	t.addOf("adaptive.window", number(s.Adaptive.Window), number(d.Window))
}

func (t *table) retry(r *policy.Retry) {
	t.block = "retry"
	t.add("maxRetries", number(r.MaxRetries))
	t.add("when", list(r.On.Names()))
	t.add("statusCodes", statuses(r.StatusCodes))
	t.add("responseHeaders", headers(r.ResponseHeaders))
	t.add("grpcStatuses", grpcStatuses(r.GRPCStatuses))
	t.add("overrides", overrides(r.Overrides))
	t.block = "retry.backoff"
	t.backoff(&r.Backoff)
	t.block = "retry"
	t.add("retryAfter.honor", strconv.FormatBool(r.RetryAfter.Honor))
	t.add("retryAfter.max", limit(r.RetryAfter.Max))
	t.add("idempotency.mode", r.Idempotency.String())
	t.add("idempotency.keyHeader", r.KeyHeader)
	t.add("idempotency.generateKey", strconv.FormatBool(r.GenerateKey))
	t.add("budget.percent", number(r.Budget.Percent))
	t.add("budget.minRetriesPerSecond", number(r.Budget.MinPerSecond))
	t.add("budget.window", limit(r.Budget.Window))
	t.add("body.maxBytes", bytes(r.BodyMaxBytes))
	t.add("avoidPreviousEndpoints", strconv.FormatBool(r.AvoidPreviousEndpoints))
	switch h := r.Hedging; {
	case h.Max == 0:
		t.add("hedging", off)
	case h.Delay > 0:
		t.add("hedging.delay", limit(h.Delay))
		t.addOf("hedging.maxHedges", number(h.Max), number(policy.DefaultHedging().Max))
	default:
		t.add("hedging.percentile", number(h.Percentile))
		t.addOf("hedging.maxHedges", number(h.Max), number(policy.DefaultHedging().Max))
	}
	retried := "Ignore"
	if r.SkipRetried {
		retried = "Skip"
	}
	t.add("alreadyRetried", retried)
}

func (t *table) backoff(b *policy.Backoff) {
	t.add("strategy", b.Strategy.String())
	t.add("initialInterval", limit(b.Initial))
	t.add("maxInterval", limit(b.Max))
	if b.Strategy == policy.Exponential {
		t.add("multiplier", factor(b.Multiplier))
	}
	t.add("jitter", b.Jitter.String())
	if b.Jitter == policy.JitterProportional || b.Jitter == policy.JitterAdditive {
		t.add("jitterPercent", number(b.JitterPercent))
	}
}

func (t *table) breaker(b *policy.Breaker) {
	if t.block = "circuitBreaker"; b == nil {
		t.add("", off)
		return
	}
	if b.ConsecutiveFailures > 0 {
		t.add("consecutiveFailures", number(b.ConsecutiveFailures))
	}
	if e := b.ErrorRate; e != nil {
		d := policy.DefaultErrorRate()
		t.addOf("errorRate.percent", number(e.Percent), number(d.Percent))
		t.addOf("errorRate.minimumRequests", number(e.MinimumRequests), number(d.MinimumRequests))
		t.addOf("errorRate.window", limit(e.Window), limit(d.Window))
	}
	if c := b.SlowCalls; c != nil {
		d := policy.DefaultSlowCalls()
		t.add("slowCalls.threshold", limit(c.Threshold))
		t.addOf("slowCalls.percent", number(c.Percent), number(d.Percent))
		t.addOf("slowCalls.minimumRequests", number(c.MinimumRequests), number(d.MinimumRequests))
		t.addOf("slowCalls.window", limit(c.Window), limit(d.Window))
	}
	d := policy.DefaultBreaker()
	t.addOf("failures.when", list(b.FailureOn.Names()), list(d.FailureOn.Names()))
	t.addOf("failures.statusCodes", statuses(b.FailureStatus), none)
	t.addOf("failures.grpcStatuses", grpcStatuses(b.FailureGRPC), grpcStatuses(d.FailureGRPC))
	t.addOf("open.duration", limit(b.OpenDuration), limit(d.OpenDuration))
	t.addOf("open.maxDuration", limit(b.OpenMaxDuration), limit(d.OpenMaxDuration))
	t.addOf("open.jitterPercent", number(b.OpenJitterPercent), number(d.OpenJitterPercent))
	t.addOf("halfOpen.probes", number(b.Probes), number(d.Probes))
	t.addOf("halfOpen.successesToClose", number(b.SuccessesToClose), number(d.SuccessesToClose))
	t.addOf("scope", b.Scope.String(), d.Scope.String())
	t.addOf("maxEjectedPercent", number(b.MaxEjectedPercent), number(d.MaxEjectedPercent))
	t.addOf("sharing", b.Sharing.String(), d.Sharing.String())
}

func (t *table) limits(r *policy.RateLimit, c *policy.Concurrency) {
	if t.block = "rateLimit"; r == nil {
		t.add("", off)
	} else {
		d := policy.DefaultRateLimit()
		t.add("requests", number(r.Requests))
		t.addOf("per", limit(r.Per), limit(d.Per))
		t.add("burst", number(r.Burst))
		t.addOf("scope", r.Scope.String(), d.Scope.String())
		t.addOf("onLimit", onLimit(r.MaxWait), "Reject")
		if r.MaxWait > 0 {
			t.add("maxWait", limit(r.MaxWait))
		}
	}
	if t.block = "concurrency"; c == nil {
		t.add("", off)
		return
	}
	d := policy.DefaultConcurrency()
	if a := c.Adaptive; a != nil {
		da := policy.DefaultAdaptiveConcurrency()
		t.addOf("adaptive.min", number(a.Min), number(da.Min))
		t.addOf("adaptive.max", number(a.Max), number(da.Max))
	} else {
		t.add("max", number(c.Max))
	}
	t.addOf("maxQueued", number(c.MaxQueued), number(d.MaxQueued))
	t.addOf("maxWait", limit(c.MaxWait), limit(d.MaxWait))
	t.addOf("scope", c.Scope.String(), d.Scope.String())
}

func onLimit(wait time.Duration) string {
	if wait > 0 {
		return "Queue"
	}
	return "Reject"
}

func (t *table) fallback(f *policy.Fallback) {
	if t.block = "fallback"; f == nil {
		t.add("", off)
		return
	}
	var when []string
	for _, c := range []struct {
		on   bool
		name string
	}{{f.On.CircuitOpen, "CircuitOpen"}, {f.On.RetriesExhausted, "RetriesExhausted"}, {f.On.RateLimited, "RateLimited"}} {
		if c.on {
			when = append(when, c.name)
		}
	}
	t.add("when", list(when))
	if r := f.Response; r != nil {
		t.add("response", fmt.Sprintf("%d, %d header fields, a body of %d bytes", r.Status, len(r.Headers), len(r.Body)))
	}
	if d := f.Destination; d != nil {
		t.add("destination", d.String()+portsOf(d))
	}
}

func (t *table) faults(f *policy.Faults) {
	if t.block = "faults"; f == nil {
		t.add("", off)
		return
	}
	t.add("until", f.End().Format(time.RFC3339))
	t.add("percent", number(f.Percent))
	if f.Delay > 0 {
		t.add("delay.duration", limit(f.Delay))
		t.add("delay.jitterPercent", number(f.JitterPercent))
	}
	switch f.Abort {
	case policy.FaultResponse:
		t.add("abort", fmt.Sprintf("a response with status %d, or gRPC %s", f.Status, f.GRPCStatus))
	case policy.FaultReset:
		t.add("abort", "a reset connection")
	case policy.NoFaultAbort:
	}
}

func (t *table) pool(p *policy.Pool) {
	t.block = "connectionPool"
	t.add("maxConnections", atMost(p.MaxConnections))
	t.add("maxConnectionsPerEndpoint", atMost(p.MaxConnectionsPerEndpoint))
	t.add("maxIdlePerEndpoint", number(p.MaxIdlePerEndpoint))
	t.add("idleTimeout", limit(p.IdleTimeout))
	t.add("maxLifetime", limit(p.MaxLifetime))
	t.add("maxRequestsPerConnection", atMost(p.MaxRequestsPerConnection))
	t.add("maxPending", number(p.MaxPending))
	t.add("pendingTimeout", limit(p.PendingTimeout))
	t.add("tcpKeepAlive.idle", limit(p.KeepAlive.Idle))
	t.add("tcpKeepAlive.interval", limit(p.KeepAlive.Interval))
	t.add("tcpKeepAlive.probes", number(p.KeepAlive.Probes))
	streams := "as the server allows"
	if p.MaxStreams > 0 {
		streams = number(p.MaxStreams)
	}
	t.add("http2.maxConcurrentStreams", streams)
	t.add("http2.pingInterval", limit(p.PingInterval))
	if p.PingInterval > 0 {
		t.addOf("http2.pingTimeout", limit(p.PingTimeout), limit(policy.DefaultPingTimeout))
	}
}
