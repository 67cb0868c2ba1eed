package proxy

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// withoutVariable names the field of the API that all tests of a run do without: it is as if no policy wrote it. hack/enforcement sets it
// to find out whether the tests that are declared for a field fail without it.
const withoutVariable = "FAIRLEAD_WITHOUT_FIELD"

// patience bounds what should happen at once. Without a field much does not happen at all, and the wait for it need not be as long.
var patience = patienceOf(os.Getenv(withoutVariable))

func patienceOf(without string) time.Duration {
	if without != "" {
		return 3 * time.Second
	}
	return 10 * time.Second
}

// cannotDrop ends a run that would prove nothing, apart from tests that fail.
func cannotDrop(why string) {
	fmt.Fprintln(os.Stderr, "cannot do without the field:", why)
	os.Exit(3)
}

// checkDropped sees to it that the field is one that can be left out.
func checkDropped() {
	if path := os.Getenv(withoutVariable); path != "" && resets[path] == nil {
		cannotDrop("without_test.go does not know " + path)
	}
}

// governed returns bindings as they are installed: complete, or without the field that the run does without.
func governed(bindings ...policy.Binding) []policy.Binding {
	path := os.Getenv(withoutVariable)
	if path == "" {
		return over.bindings(bindings)
	}
	out := make([]policy.Binding, len(bindings))
	for i := range bindings {
		out[i] = withoutField(bindings[i], path)
	}
	return over.bindings(out)
}

// withoutField returns a copy of b in which the field is what it is when no policy writes it.
func withoutField(b policy.Binding, path string) policy.Binding {
	b = deepCopy(reflect.ValueOf(b)).Interface().(policy.Binding)
	resets[path](&b)
	for _, s := range allSettings(&b) {
		if br := s.Breaker; br != nil && br.ConsecutiveFailures == 0 && br.ErrorRate == nil && br.SlowCalls == nil {
			s.Breaker = nil // as the manager compiles a breaker without triggers
		}
	}
	return b
}

func allSettings(b *policy.Binding) []*policy.Settings {
	all := []*policy.Settings{&b.Base}
	for i := range b.Rules {
		all = append(all, &b.Rules[i].Settings)
	}
	return all
}

// withoutFaultStatus leaves out a status of HTTP, which gRPC's goes by if it is not written.
func withoutFaultStatus(f *policy.Faults) {
	if f.GRPCStatus == policy.GRPCStatusOfHTTP(f.Status) {
		f.GRPCStatus = policy.GRPCStatusOfHTTP(policy.DefaultFaultStatus)
	}
	f.Status = policy.DefaultFaultStatus
}

// resets says how each field is left out.
var resets = map[string]func(*policy.Binding){
	"timeouts.connect":        settings(func(s, d *policy.Settings) { s.Timeouts.Connect = d.Timeouts.Connect }),
	"timeouts.tlsHandshake":   settings(func(s, d *policy.Settings) { s.Timeouts.TLSHandshake = d.Timeouts.TLSHandshake }),
	"timeouts.perTry":         settings(func(s, d *policy.Settings) { s.Timeouts.PerTry = d.Timeouts.PerTry }),
	"timeouts.responseHeader": settings(func(s, d *policy.Settings) { s.Timeouts.ResponseHeader = d.Timeouts.ResponseHeader }),
	"timeouts.idle":           settings(func(s, d *policy.Settings) { s.Timeouts.Idle = d.Timeouts.Idle }),
	"timeouts.read":           settings(func(s, _ *policy.Settings) { s.Timeouts.Read = s.Timeouts.Idle }),
	"timeouts.write":          settings(func(s, _ *policy.Settings) { s.Timeouts.Write = s.Timeouts.Idle }),
	"timeouts.overall":        settings(func(s, d *policy.Settings) { s.Timeouts.Overall = d.Timeouts.Overall }),
	"timeouts.maxDuration":    settings(func(s, d *policy.Settings) { s.Timeouts.MaxDuration = d.Timeouts.MaxDuration }),

	"timeouts.adaptive.min":        adaptive(func(a, d *policy.Adaptive) { a.Min = d.Min }),
	"timeouts.adaptive.max":        adaptive(func(a, _ *policy.Adaptive) { *a = policy.Adaptive{} }), // it needs one
	"timeouts.adaptive.deviations": adaptive(func(a, d *policy.Adaptive) { a.Deviations = d.Deviations }),
	"timeouts.adaptive.window":     adaptive(func(a, d *policy.Adaptive) { a.Window = d.Window }),

	"retry.maxRetries":                 settings(func(s, d *policy.Settings) { s.Retry.MaxRetries = d.Retry.MaxRetries }),
	"retry.when":                       settings(func(s, d *policy.Settings) { s.Retry.On = d.Retry.On }),
	"retry.statusCodes":                settings(func(s, d *policy.Settings) { s.Retry.StatusCodes = d.Retry.StatusCodes }),
	"retry.responseHeaders[].name":     settings(func(s, d *policy.Settings) { s.Retry.ResponseHeaders = d.Retry.ResponseHeaders }),
	"retry.responseHeaders[].value":    settings(withoutHeaderValues),
	"retry.overrides[].when":           overrides(func(o *policy.RetryOverride, _ *policy.Retry) { o.On = 0 }),
	"retry.grpcStatuses":               settings(func(s, d *policy.Settings) { s.Retry.GRPCStatuses = d.Retry.GRPCStatuses }),
	"retry.overrides[].grpcStatuses":   overrides(func(o *policy.RetryOverride, _ *policy.Retry) { o.GRPCStatuses = nil }),
	"retry.overrides[].statusCodes":    overrides(func(o *policy.RetryOverride, _ *policy.Retry) { o.StatusCodes = nil }),
	"retry.overrides[].maxRetries":     overrides(func(o *policy.RetryOverride, r *policy.Retry) { o.MaxRetries = r.MaxRetries }),
	"retry.retryAfter.honor":           settings(func(s, d *policy.Settings) { s.Retry.RetryAfter.Honor = d.Retry.RetryAfter.Honor }),
	"retry.retryAfter.max":             settings(func(s, d *policy.Settings) { s.Retry.RetryAfter.Max = d.Retry.RetryAfter.Max }),
	"retry.idempotency.mode":           settings(func(s, d *policy.Settings) { s.Retry.Idempotency = d.Retry.Idempotency }),
	"retry.idempotency.keyHeader":      settings(func(s, d *policy.Settings) { s.Retry.KeyHeader = d.Retry.KeyHeader }),
	"retry.idempotency.generateKey":    settings(func(s, d *policy.Settings) { s.Retry.GenerateKey = d.Retry.GenerateKey }),
	"retry.budget.percent":             settings(func(s, d *policy.Settings) { s.Retry.Budget.Percent = d.Retry.Budget.Percent }),
	"retry.budget.minRetriesPerSecond": settings(func(s, d *policy.Settings) { s.Retry.Budget.MinPerSecond = d.Retry.Budget.MinPerSecond }),
	"retry.budget.window":              settings(func(s, d *policy.Settings) { s.Retry.Budget.Window = d.Retry.Budget.Window }),
	"retry.body.maxBytes":              settings(func(s, d *policy.Settings) { s.Retry.BodyMaxBytes = d.Retry.BodyMaxBytes }),
	"retry.avoidPreviousEndpoints":     settings(func(s, d *policy.Settings) { s.Retry.AvoidPreviousEndpoints = d.Retry.AvoidPreviousEndpoints }),

	"retry.alreadyRetried":                 settings(func(s, d *policy.Settings) { s.Retry.SkipRetried = d.Retry.SkipRetried }),
	"observability.tracing.samplePercent":  settings(func(s, d *policy.Settings) { s.Tracing = d.Tracing }),
	"observability.requestHeaders.attempt": settings(func(s, d *policy.Settings) { s.AttemptHeader = d.AttemptHeader }),

	"retry.hedging.delay":      hedging(func(h *policy.Hedging) { h.Delay = 0 }),
	"retry.hedging.percentile": hedging(func(h *policy.Hedging) { h.Percentile = 0 }),
	"retry.hedging.maxHedges":  hedging(func(h *policy.Hedging) { h.Max = policy.DefaultHedging().Max }),

	"retry.backoff.strategy":        backoff(func(b, d *policy.Backoff) { b.Strategy = d.Strategy }),
	"retry.backoff.initialInterval": backoff(func(b, d *policy.Backoff) { b.Initial, b.Max = d.Initial, max(b.Max, d.Initial) }),
	"retry.backoff.maxInterval":     backoff(func(b, _ *policy.Backoff) { b.Max = 10 * b.Initial }),
	"retry.backoff.multiplier":      backoff(func(b, d *policy.Backoff) { b.Multiplier = d.Multiplier }),
	"retry.backoff.jitter":          backoff(func(b, d *policy.Backoff) { b.Jitter = d.Jitter }),
	"retry.backoff.jitterPercent":   backoff(func(b, d *policy.Backoff) { b.JitterPercent = d.JitterPercent }),

	"retry.overrides[].backoff.strategy":        overrideBackoff(func(b, d *policy.Backoff) { b.Strategy = d.Strategy }),
	"retry.overrides[].backoff.initialInterval": overrideBackoff(func(b, d *policy.Backoff) { b.Initial, b.Max = d.Initial, max(b.Max, d.Initial) }),
	"retry.overrides[].backoff.maxInterval":     overrideBackoff(func(b, _ *policy.Backoff) { b.Max = 10 * b.Initial }),
	"retry.overrides[].backoff.multiplier":      overrideBackoff(func(b, d *policy.Backoff) { b.Multiplier = d.Multiplier }),
	"retry.overrides[].backoff.jitter":          overrideBackoff(func(b, d *policy.Backoff) { b.Jitter = d.Jitter }),
	"retry.overrides[].backoff.jitterPercent":   overrideBackoff(func(b, d *policy.Backoff) { b.JitterPercent = d.JitterPercent }),

	"connectionPool.maxConnections":             pool(func(p, d *policy.Pool) { p.MaxConnections = d.MaxConnections }),
	"connectionPool.maxConnectionsPerEndpoint":  pool(func(p, d *policy.Pool) { p.MaxConnectionsPerEndpoint = d.MaxConnectionsPerEndpoint }),
	"connectionPool.maxIdlePerEndpoint":         pool(func(p, d *policy.Pool) { p.MaxIdlePerEndpoint = d.MaxIdlePerEndpoint }),
	"connectionPool.idleTimeout":                pool(func(p, d *policy.Pool) { p.IdleTimeout = d.IdleTimeout }),
	"connectionPool.maxLifetime":                pool(func(p, d *policy.Pool) { p.MaxLifetime = d.MaxLifetime }),
	"connectionPool.http2.maxConcurrentStreams": pool(func(p, d *policy.Pool) { p.MaxStreams = d.MaxStreams }),
	"connectionPool.http2.pingInterval":         pool(func(p, d *policy.Pool) { p.PingInterval = d.PingInterval }),
	"connectionPool.http2.pingTimeout":          pool(func(p, _ *policy.Pool) { p.PingTimeout = policy.DefaultPingTimeout }),
	"connectionPool.maxRequestsPerConnection":   pool(func(p, d *policy.Pool) { p.MaxRequestsPerConnection = d.MaxRequestsPerConnection }),
	"connectionPool.maxPending":                 pool(func(p, d *policy.Pool) { p.MaxPending = d.MaxPending }),
	"connectionPool.pendingTimeout":             pool(func(p, d *policy.Pool) { p.PendingTimeout = d.PendingTimeout }),
	"connectionPool.tcpKeepAlive.idle":          pool(func(p, d *policy.Pool) { p.KeepAlive.Idle = d.KeepAlive.Idle }),
	"connectionPool.tcpKeepAlive.interval":      pool(func(p, d *policy.Pool) { p.KeepAlive.Interval = d.KeepAlive.Interval }),
	"connectionPool.tcpKeepAlive.probes":        pool(func(p, d *policy.Pool) { p.KeepAlive.Probes = d.KeepAlive.Probes }),

	"circuitBreaker.consecutiveFailures":       breaker(func(b, _ *policy.Breaker) { b.ConsecutiveFailures = 0 }),
	"circuitBreaker.errorRate.percent":         errorRate(func(e, d *policy.ErrorRate) { e.Percent = d.Percent }),
	"circuitBreaker.errorRate.minimumRequests": errorRate(func(e, d *policy.ErrorRate) { e.MinimumRequests = d.MinimumRequests }),
	"circuitBreaker.errorRate.window":          errorRate(func(e, d *policy.ErrorRate) { e.Window = d.Window }),
	"circuitBreaker.slowCalls.threshold":       breaker(func(b, _ *policy.Breaker) { b.SlowCalls = nil }), // the trigger needs it
	"circuitBreaker.slowCalls.percent":         slowCalls(func(c, d *policy.SlowCalls) { c.Percent = d.Percent }),
	"circuitBreaker.slowCalls.minimumRequests": slowCalls(func(c, d *policy.SlowCalls) { c.MinimumRequests = d.MinimumRequests }),
	"circuitBreaker.slowCalls.window":          slowCalls(func(c, d *policy.SlowCalls) { c.Window = d.Window }),
	"circuitBreaker.failures.when":             breaker(func(b, d *policy.Breaker) { b.FailureOn = d.FailureOn }),
	"circuitBreaker.failures.grpcStatuses":     breaker(func(b, d *policy.Breaker) { b.FailureGRPC = d.FailureGRPC }),
	"circuitBreaker.failures.statusCodes":      breaker(func(b, d *policy.Breaker) { b.FailureStatus = d.FailureStatus }),
	"circuitBreaker.open.duration": breaker(func(b, d *policy.Breaker) {
		b.OpenDuration, b.OpenMaxDuration = d.OpenDuration, max(b.OpenMaxDuration, d.OpenDuration)
	}),
	"circuitBreaker.open.maxDuration":          breaker(func(b, d *policy.Breaker) { b.OpenMaxDuration = max(d.OpenMaxDuration, b.OpenDuration) }),
	"circuitBreaker.open.jitterPercent":        breaker(func(b, d *policy.Breaker) { b.OpenJitterPercent = d.OpenJitterPercent }),
	"circuitBreaker.halfOpen.probes":           breaker(func(b, d *policy.Breaker) { b.Probes = d.Probes }),
	"circuitBreaker.halfOpen.successesToClose": breaker(func(b, d *policy.Breaker) { b.SuccessesToClose = d.SuccessesToClose }),
	"circuitBreaker.sharing":                   breaker(func(b, d *policy.Breaker) { b.Sharing = d.Sharing }),
	"circuitBreaker.scope":                     breaker(func(b, d *policy.Breaker) { b.Scope = d.Scope }),
	"circuitBreaker.maxEjectedPercent":         breaker(func(b, d *policy.Breaker) { b.MaxEjectedPercent = d.MaxEjectedPercent }),

	"fallback.when": fallback(func(f *policy.Fallback) {
		f.On = policy.FallbackOn{CircuitOpen: true, RetriesExhausted: true, RateLimited: true}
	}),
	"fallback.response.statusCode":      settings(func(s, _ *policy.Settings) { s.Fallback = nil }), // a response needs it
	"fallback.response.headers[].name":  fallback(func(f *policy.Fallback) { f.Response.Headers = nil }),
	"fallback.response.headers[].value": fallback(withoutFieldValues),
	"fallback.response.body":            fallback(func(f *policy.Fallback) { f.Response.Body = "" }),

	"fallback.destination.service.name": backup(func(f *policy.Fallback) { f.Destination = nil }), // it needs a name
	"fallback.destination.service.port": backup(func(f *policy.Fallback) { f.Destination.Ports = nil }),
	"fallback.destination.host":         backup(func(f *policy.Fallback) { f.Destination = nil }),
	"fallback.destination.port":         backup(func(f *policy.Fallback) { f.Destination.Ports = nil }),

	"faults.until":               faults(func(f *policy.Faults) { f.Until = 0 }),
	"faults.percent":             faults(func(f *policy.Faults) { f.Percent = 0 }),
	"faults.delay.duration":      faults(func(f *policy.Faults) { f.Delay = 0 }),
	"faults.delay.jitterPercent": faults(func(f *policy.Faults) { f.JitterPercent = 0 }),
	"faults.abort.type":          faults(func(f *policy.Faults) { f.Abort = policy.NoFaultAbort }),
	"faults.abort.statusCode":    faults(withoutFaultStatus),
	"faults.abort.grpcStatus":    faults(func(f *policy.Faults) { f.GRPCStatus = policy.GRPCStatusOfHTTP(f.Status) }),

	"rateLimit.requests": settings(func(s, _ *policy.Settings) { s.RateLimit = nil }), // the limit needs it
	"rateLimit.per":      rateLimit(func(l, d *policy.RateLimit) { l.Per = d.Per }),
	"rateLimit.burst":    rateLimit(func(l, _ *policy.RateLimit) { l.Burst = l.Requests }),
	"rateLimit.scope":    rateLimit(func(l, d *policy.RateLimit) { l.Scope = d.Scope }),
	"rateLimit.onLimit":  rateLimit(func(l, _ *policy.RateLimit) { l.MaxWait = 0 }), // which only Queue has
	"rateLimit.maxWait":  rateLimit(func(l, d *policy.RateLimit) { l.MaxWait = d.MaxWait }),

	"concurrency.max": settings(func(s, _ *policy.Settings) {
		if c := s.Concurrency; c != nil && c.Adaptive == nil {
			s.Concurrency = nil
		} else if c != nil {
			c.Max = 0
		}
	}),
	"concurrency.adaptive.min": adaptiveConcurrency(func(a, d *policy.AdaptiveConcurrency) { a.Min = d.Min }),
	"concurrency.adaptive.max": adaptiveConcurrency(func(a, d *policy.AdaptiveConcurrency) { a.Max = d.Max }),
	"concurrency.maxQueued":    concurrency(func(c, _ *policy.Concurrency) { c.MaxQueued, c.MaxWait = 0, 0 }), // the one is nothing without the other
	"concurrency.maxWait":      concurrency(func(c, _ *policy.Concurrency) { c.MaxQueued, c.MaxWait = 0, 0 }),
	"concurrency.scope":        concurrency(func(c, d *policy.Concurrency) { c.Scope = d.Scope }),

	"loadBalancing.policy": settings(func(s, d *policy.Settings) { s.LoadBalancing = d.LoadBalancing }),

	"rules[].name":                 rules(func(r *policy.Rule) { r.Name = "" }),
	"rules[].match[].methods":      matches(func(m *policy.RequestMatch) { m.Methods = nil }),
	"rules[].match[].path.type":    matches(withoutPathType),
	"rules[].match[].grpc.service": matches(func(m *policy.RequestMatch) { withoutPart(m, 0) }),
	"rules[].match[].grpc.method":  matches(func(m *policy.RequestMatch) { withoutPart(m, 1) }),
	"rules[].match[].path.value":   matches(withoutPath),

	"rules[].match[].host":            matches(func(m *policy.RequestMatch) { m.Host = "" }),
	"rules[].match[].headers[].name":  matches(func(m *policy.RequestMatch) { m.Headers = nil }), // a header needs it
	"rules[].match[].headers[].type":  headerMatches(func(h *policy.RequestHeader) { h.Type = policy.ValueExact }),
	"rules[].match[].headers[].value": headerMatches(func(h *policy.RequestHeader) { h.Type, h.Value = policy.ValueAny, "" }),

	"to[].protocol": func(b *policy.Binding) { b.To.Protocol = policy.ProtocolAuto },

	"to[].via.proxy": func(b *policy.Binding) { b.To.Via = policy.Via{} },

	"to[].tls.mode":                      func(b *policy.Binding) { b.To.TLS = policy.TLS{} },
	"to[].tls.sni":                       func(b *policy.Binding) { b.To.TLS.ServerName = "" },
	"to[].tls.port":                      func(b *policy.Binding) { b.To.TLS.Port = 0 },
	"to[].tls.passthroughAfter":          func(b *policy.Binding) { b.To.TLS.PassAfter = 0 },
	"to[].tls.caBundleRef.name":          func(b *policy.Binding) { b.To.TLS.Roots = "" },
	"to[].tls.clientCertificateRef.name": func(b *policy.Binding) { b.To.TLS.Certificate = "" },
}

func settings(reset func(s, d *policy.Settings)) func(*policy.Binding) {
	return func(b *policy.Binding) {
		d := policy.Defaults()
		for _, s := range allSettings(b) {
			reset(s, &d)
		}
	}
}

func withoutHeaderValues(s, _ *policy.Settings) {
	for i := range s.Retry.ResponseHeaders {
		s.Retry.ResponseHeaders[i].Value = ""
	}
}

func overrides(reset func(*policy.RetryOverride, *policy.Retry)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		for i := range s.Retry.Overrides {
			reset(&s.Retry.Overrides[i], &s.Retry)
		}
	})
}

func backoff(reset func(b, d *policy.Backoff)) func(*policy.Binding) {
	return settings(func(s, d *policy.Settings) { reset(&s.Retry.Backoff, &d.Retry.Backoff) })
}

func overrideBackoff(reset func(b, d *policy.Backoff)) func(*policy.Binding) {
	d := policy.DefaultBackoff()
	return overrides(func(o *policy.RetryOverride, _ *policy.Retry) { reset(&o.Backoff, &d) })
}

func pool(reset func(p, d *policy.Pool)) func(*policy.Binding) {
	return settings(func(s, d *policy.Settings) { reset(&s.Pool, &d.Pool) })
}

func breaker(reset func(b, d *policy.Breaker)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if d := policy.DefaultBreaker(); s.Breaker != nil {
			reset(s.Breaker, &d)
		}
	})
}

func rateLimit(reset func(l, d *policy.RateLimit)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if d := policy.DefaultRateLimit(); s.RateLimit != nil {
			reset(s.RateLimit, &d)
		}
	})
}

func concurrency(reset func(c, d *policy.Concurrency)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if d := policy.DefaultConcurrency(); s.Concurrency != nil {
			reset(s.Concurrency, &d)
		}
	})
}

func adaptiveConcurrency(reset func(a, d *policy.AdaptiveConcurrency)) func(*policy.Binding) {
	return concurrency(func(c, _ *policy.Concurrency) {
		if d := policy.DefaultAdaptiveConcurrency(); c.Adaptive != nil {
			reset(c.Adaptive, &d)
		}
	})
}

func errorRate(reset func(e, d *policy.ErrorRate)) func(*policy.Binding) {
	return breaker(func(b, _ *policy.Breaker) {
		if d := policy.DefaultErrorRate(); b.ErrorRate != nil {
			reset(b.ErrorRate, &d)
		}
	})
}

func slowCalls(reset func(c, d *policy.SlowCalls)) func(*policy.Binding) {
	return breaker(func(b, _ *policy.Breaker) {
		if d := policy.DefaultSlowCalls(); b.SlowCalls != nil {
			reset(b.SlowCalls, &d)
		}
	})
}

// headerMatches has the matches by header fields do without something.
func headerMatches(reset func(*policy.RequestHeader)) func(*policy.Binding) {
	return matches(func(m *policy.RequestMatch) {
		m.Headers = slices.Clone(m.Headers)
		for i := range m.Headers {
			reset(&m.Headers[i])
		}
	})
}

// listed is the end of the path of what makes up one value.
var listed = regexp.MustCompile(`\[0\]\.(From|To|Name|Value)$`)

// What does without a field does without nothing else.
func TestAFieldIsLeftOutAlone(t *testing.T) {
	full := policy.Binding{To: policy.Target{Protocol: policy.ProtocolHTTP}, Base: policy.Defaults()}
	full.To.TLS = policy.TLS{Mode: policy.TLSOriginate, ServerName: "x", Port: 1, Roots: "x", Certificate: "x", PassAfter: 1}
	full.To.Via = policy.Via{Host: "x", Port: 1}
	fill(reflect.ValueOf(&full.Base).Elem())
	// What stands in for a field that is not written must be another value.
	full.Base.Timeouts.Idle, full.Base.Retry.MaxRetries, full.Base.Breaker.OpenDuration, full.Base.RateLimit.Burst = 1, 1, 1, 1
	full.Base.Fallback.On, full.Base.Fallback.Destination = policy.FallbackOn{}, &policy.Target{Ports: []uint16{1}}
	full.Base.Faults.GRPCStatus = 9
	full.Rules = []policy.Rule{{Name: "r", Match: []policy.RequestMatch{
		{Methods: []string{"X"}, PathType: policy.PathExact, Path: "/"}, {PathType: policy.PathGRPC, Path: "s/m"}, {Host: "a.example"},
		{Headers: []policy.RequestHeader{{Name: "x", Type: policy.ValuePrefix, Value: "y"}}},
	}}}
	several := map[string]int{
		"to[].tls.mode": 6, "to[].via.proxy": 2, "circuitBreaker.slowCalls.threshold": 4,
		"timeouts.adaptive.max": 4, "fallback.when": 3, "fallback.response.statusCode": 16, "rules[].match[].path.value": 2, "rules[].match[].headers[].name": 2, "rules[].match[].headers[].value": 2,
		"fallback.destination.service.name": 10, "fallback.destination.host": 10,
		"rateLimit.requests": 6, "concurrency.maxQueued": 2, "concurrency.maxWait": 2,
	}
	for path := range resets {
		changed := map[string]bool{}
		after := leaves(reflect.ValueOf(withoutField(full, path)), "")
		for name, value := range leaves(reflect.ValueOf(full), "") {
			// The settings of a rule are those of the base, as far as this matters.
			if after[name] != value && !strings.HasPrefix(name, ".Rules[0].Settings") {
				changed[listed.ReplaceAllString(name, "")] = true
			}
		}
		if want := max(several[path], 1); len(changed) != want {
			t.Errorf("without %s, %d fields are other: %v, want %d", path, len(changed), changed, want)
		}
	}
}
