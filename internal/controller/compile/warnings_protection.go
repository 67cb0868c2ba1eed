package compile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// protectionWarnings returns those about limits, timeouts that adapt, hedging, faults and fallbacks of one set of blocks.
func protectionWarnings(prefix string, src *Source, body *v1alpha1.PolicyBody) []string {
	s := settingsOf(body)
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, prefix+fmt.Sprintf(format, args...)) }
	overall := s.Timeouts.Overall
	tooLong := func(field string, wait time.Duration) {
		if overall > 0 && wait >= overall {
			warn("%s %s is not shorter than timeouts.overall %s: a call that waits for so long has no time left.", field, wait, overall)
		}
	}
	if l := s.RateLimit; l != nil && l.MaxWait > 0 {
		tooLong("rateLimit.maxWait", l.MaxWait)
	}
	if c := s.Concurrency; c != nil && c.MaxQueued > 0 {
		tooLong("concurrency.maxWait", c.MaxWait)
	}
	if a := s.Timeouts.Adaptive; a.On() && overall > 0 && a.Max >= overall {
		warn("timeouts.adaptive.max %s is not shorter than timeouts.overall %s: an attempt that takes so long leaves no time for another.", a.Max, overall)
	}
	if h, limit := s.Retry.Hedging, attemptEnds(&s.Timeouts); h.Max > 0 && h.Delay > 0 && limit.value > 0 && h.Delay >= limit.value {
		warn("retry.hedging.delay %s is not shorter than %s %s: no hedge ever starts.", h.Delay, limit.field, limit.value)
	}
	if ra := s.Retry.RetryAfter; limitsRetryAfter(body) && ra.Honor && s.Retry.MaxRetries > 0 && overall > 0 && ra.Max >= overall {
		warn("retry.retryAfter.max %s is not shorter than timeouts.overall %s: no retry waits for so long, so it bounds nothing.", ra.Max, overall)
	}
	if h := s.Retry.Hedging; h.Max > s.Retry.MaxRetries {
		warn("retry.hedging.maxHedges %d is more than retry.maxRetries %d, and each hedge counts as a retry.", h.Max, s.Retry.MaxRetries)
	}
	warnings = append(warnings, faultWarnings(prefix, &s)...)
	return append(warnings, fallbackWarnings(prefix, src, body, &s)...)
}

// faultWarnings says if attempts time out before they are aborted, whatever the jitter of their delay.
func faultWarnings(prefix string, s *policy.Settings) []string {
	f := s.Faults
	if f == nil || f.Abort == policy.NoFaultAbort {
		return nil
	}
	least := f.Delay - f.Delay*time.Duration(f.JitterPercent)/100
	for _, limit := range []limitField{attemptLimit(&s.Timeouts), {"timeouts.overall", s.Timeouts.Overall}, {"timeouts.maxDuration", s.Timeouts.MaxDuration}} {
		if limit.value > 0 && least >= limit.value {
			return []string{prefix + fmt.Sprintf("faults.delay holds attempts up for %s at least, which is not shorter than %s %s: they time out, and faults.abort never happens.",
				least, limit.field, limit.value)}
		}
	}
	return nil
}

// limitField is a field that says how long something may take; 0: for ever.
type limitField struct {
	field string
	value time.Duration
}

// attemptLimit is the field that bounds attempts by themselves.
func attemptLimit(t *policy.Timeouts) limitField {
	if t.Adaptive.On() {
		return limitField{"timeouts.adaptive.max", t.Adaptive.Max}
	}
	return limitField{"timeouts.perTry", t.PerTry}
}

// attemptEnds is the field by which every attempt has ended at the latest: its own limit, or the deadline of its call.
func attemptEnds(t *policy.Timeouts) limitField {
	l := attemptLimit(t)
	if t.Overall > 0 && (l.value == 0 || t.Overall < l.value) {
		return limitField{"timeouts.overall", t.Overall}
	}
	return l
}

// limitsRetryAfter reports whether the policy itself writes how long a server may have a retry wait.
func limitsRetryAfter(body *v1alpha1.PolicyBody) bool {
	return body.Retry != nil && body.Retry.RetryAfter != nil && body.Retry.RetryAfter.Max != ""
}

// fallbackWarnings returns those about what calls fall back on.
func fallbackWarnings(prefix string, src *Source, body *v1alpha1.PolicyBody, s *policy.Settings) []string {
	f := s.Fallback
	if f == nil {
		return nil
	}
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, prefix+fmt.Sprintf(format, args...)) }
	named := func(c v1alpha1.FallbackCondition) bool { return slices.Contains(body.Fallback.When, c) }
	limited := s.RateLimit != nil || s.Concurrency != nil || s.Pool.MaxConnections > 0 || s.Pool.MaxConnectionsPerEndpoint > 0
	if named(v1alpha1.FallbackOnRateLimited) && !limited {
		warn("fallback.when names RateLimited, which never happens without rateLimit, concurrency or a limit of connectionPool.")
	}
	if named(v1alpha1.FallbackOnCircuitOpen) && s.Breaker == nil {
		warn("fallback.when names CircuitOpen, which never happens without circuitBreaker.")
	}
	if f.Response != nil && slices.ContainsFunc(f.Response.Headers, func(h policy.HeaderField) bool { return strings.EqualFold(h.Name, "grpc-message") }) {
		warn("fallback.response.headers names grpc-message, which gRPC calls are not answered with: their grpc-message says why they fell back. Leave it out.")
	}
	if f.Destination == nil || f.Destination.Kind != policy.TargetService {
		return warnings
	}
	overTLS := func(d v1alpha1.Destination) bool {
		return d.TLS != nil && (d.TLS.Mode == v1alpha1.TLSOriginate || d.TLS.Mode == v1alpha1.TLSIntercept)
	}
	if slices.ContainsFunc(src.To, overTLS) {
		warn("fallback.destination is a Service, which is called in the clear, also in place of a host that is called over TLS; name a host if that must not be.")
	}
	own := serviceName(body.Fallback.Destination.Service, src.ID.Namespace)
	if slices.ContainsFunc(src.To, func(d v1alpha1.Destination) bool {
		return d.Service != nil && serviceName(d.Service, src.ID.Namespace) == own
	}) {
		warn("fallback.destination is a destination of the policy itself: its calls are tried once more where they have failed.")
	}
	return warnings
}

// hedgingWarnings says if a rule hedges calls of which none may be repeated.
func hedgingWarnings(prefix string, r *v1alpha1.Rule, body *v1alpha1.PolicyBody) []string {
	retry := settingsOf(body).Retry
	if r.Retry == nil || r.Retry.Hedging == nil || retry.Hedging.Max == 0 || retry.Idempotency > policy.IdempotentMethods {
		return nil
	}
	for _, m := range r.Match {
		if m.GRPC == nil && (len(m.Methods) == 0 || slices.ContainsFunc(m.Methods, mayBeRepeated)) {
			return nil
		}
	}
	return []string{prefix + "retry.hedging never acts: the rule is for methods that retry.idempotency.mode does not let be repeated. Set Any if they bear it."}
}

// mayBeRepeated reports whether a method may be among those that idempotency modes let be repeated; a gRPC call is a POST.
func mayBeRepeated(method string) bool { return method != "POST" && method != "PATCH" }
