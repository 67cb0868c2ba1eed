package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Warnings returns sentences about combinations in src that are legal and unlikely to be meant. Each is about the policy by itself.
func Warnings(src *Source) []string {
	if src.Body == nil {
		return nil
	}
	findsNames := src.findsNames()
	warnings := append(blockWarnings("", src.Body, findsNames), grpcWarnings(src.Body)...)
	warnings = append(warnings, protocolWarnings(src)...)
	warnings = append(warnings, endpointWarnings(src)...)
	warnings = append(warnings, rolloutWarnings(src)...)
	warnings = append(warnings, matchWarnings(src)...)
	warnings = append(warnings, protectionWarnings("", src, src.Body)...)
	for i := range src.Body.Rules {
		r := &src.Body.Rules[i]
		patched := *src.Body
		patched.CallBlocks = patchedBlocks(src.Body.CallBlocks, r.CallBlocks)
		prefix := "Rule " + r.Name + ": "
		own := append(blockWarnings(prefix, &patched, findsNames), protectionWarnings(prefix, src, &patched)...)
		for _, w := range append(own, hedgingWarnings(prefix, r, &patched)...) {
			if !contained(warnings, strings.TrimPrefix(w, prefix)) {
				warnings = append(warnings, w)
			}
		}
	}
	return warnings
}

func contained(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// findsNames reports whether calls to a destination take a name that agents look up: that of a proxy.
func (s *Source) findsNames() bool {
	return slices.ContainsFunc(s.To, func(d v1alpha1.Destination) bool {
		t, problem := readVia(target{}, d.Via)
		_, err := netip.ParseAddr(t.Via.Host)
		return problem == nil && t.Via.Host != "" && err != nil
	})
}

// blockWarnings returns those about one set of blocks. findsNames: agents look names up for the policy.
func blockWarnings(prefix string, body *v1alpha1.PolicyBody, findsNames bool) []string {
	s := settingsOf(body)
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, prefix+fmt.Sprintf(format, args...)) }
	t, r := &s.Timeouts, &s.Retry
	if need := attemptsNeed(&s); t.Overall > 0 && t.PerTry > 0 && need > t.Overall && !t.Adaptive.On() {
		warn("%d attempts of timeouts.perTry %s with their backoff can take %s, longer than timeouts.overall %s: later retries will not start.",
			r.MaxRetries+1, t.PerTry, need, t.Overall)
	}
	if r.MaxRetries > 0 && r.Budget.Percent == 0 && r.Budget.MinPerSecond == 0 {
		warn("retry.budget allows no retries at all, so retry.maxRetries %d never counts.", r.MaxRetries)
	}
	if body.Retry != nil && r.On.Has(policy.PerTryTimeout) && t.AttemptLimit() == 0 && t.ResponseHeader == 0 {
		warn("retry.when names PerTryTimeout, which never happens without timeouts.perTry, timeouts.adaptive or timeouts.responseHeader.")
	}
	if body.Retry != nil && namesDNSFailure(r) && !findsNames {
		warn("retry.when names DNSFailure, which happens only where agents look up the name of a proxy (to[].via), and no destination here has " +
			"one: pods resolve other names themselves, before they call.")
	}
	if r.SkipRetried && r.MaxRetries == 0 {
		warn("retry.alreadyRetried Skip changes nothing: with retry.maxRetries 0 no call is retried or hedged.")
	}
	limited := s.Pool.MaxConnections > 0 || s.Pool.MaxConnectionsPerEndpoint > 0
	if limited && t.Overall > 0 && s.Pool.MaxPending > 0 && s.Pool.PendingTimeout >= t.Overall {
		warn("connectionPool.pendingTimeout %s is not shorter than timeouts.overall %s: a call that waits for a connection has no time left.",
			s.Pool.PendingTimeout, t.Overall)
	}
	if b := s.Breaker; b != nil && b.SlowCalls != nil {
		if limit := attemptEnds(t); limit.value > 0 && b.SlowCalls.Threshold >= limit.value {
			warn("circuitBreaker.slowCalls.threshold %s is not shorter than %s %s: no attempt is ever slow.", b.SlowCalls.Threshold, limit.field, limit.value)
		}
	}
	if t.MaxDuration > 0 && t.MaxDuration < t.Overall {
		warn("timeouts.maxDuration %s is shorter than timeouts.overall %s: calls end before their deadline.", t.MaxDuration, t.Overall)
	}
	return warnings
}

// grpcWarnings says if gRPC statuses are listed to be retried, and nowhere a call may be repeated that ends with one.
func grpcWarnings(body *v1alpha1.PolicyBody) []string {
	listed := false
	for i := range len(body.Rules) + 1 {
		blocks := *body
		if i > 0 {
			blocks.CallBlocks = patchedBlocks(body.CallBlocks, body.Rules[i-1].CallBlocks)
		}
		r := settingsOf(&blocks).Retry
		if !namesGRPCStatuses(&r) {
			continue
		}
		listed = true
		if r.Idempotency == policy.AnyMethod || r.Idempotency == policy.IdempotentOrKeyed {
			return nil
		}
	}
	if !listed {
		return nil
	}
	return []string{"retry.grpcStatuses never lead to a retry: gRPC calls are POST requests, which retry.idempotency.mode lets be repeated " +
		"with Any or IdempotentOrKeyed alone. Set Any in a rule for the gRPC methods that bear it."}
}

func namesDNSFailure(r *policy.Retry) bool {
	return r.On.Has(policy.DNSFailure) || slices.ContainsFunc(r.Overrides, func(o policy.RetryOverride) bool { return o.On.Has(policy.DNSFailure) })
}

func namesGRPCStatuses(r *policy.Retry) bool {
	return len(r.GRPCStatuses) > 0 || slices.ContainsFunc(r.Overrides, func(o policy.RetryOverride) bool { return len(o.GRPCStatuses) > 0 })
}

// attemptsNeed returns how long all attempts and the longest backoffs between them can take.
func attemptsNeed(s *policy.Settings) time.Duration {
	need := s.Timeouts.PerTry
	b := &s.Retry.Backoff
	wait := float64(b.Initial)
	for n := 1; n <= s.Retry.MaxRetries; n++ {
		need += time.Duration(min(wait, float64(b.Max))) + s.Timeouts.PerTry
		switch b.Strategy {
		case policy.Exponential:
			wait *= b.Multiplier
		case policy.Linear:
			wait += float64(b.Initial)
		case policy.Fixed:
		}
	}
	return need
}
