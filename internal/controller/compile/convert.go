package compile

import (
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// The functions below translate values of the API into those of package policy. A value that is not known counts as unset.

func conditionOf(c v1alpha1.RetryCondition) policy.Conditions {
	switch c {
	case v1alpha1.RetryOnConnectFailure:
		return policy.Of(policy.ConnectFailure)
	case v1alpha1.RetryOnRefusedStream:
		return policy.Of(policy.RefusedStream)
	case v1alpha1.RetryOnResetBeforeRequest:
		return policy.Of(policy.ResetBeforeRequest)
	case v1alpha1.RetryOnReset:
		return policy.Of(policy.Reset)
	case v1alpha1.RetryOnPerTryTimeout:
		return policy.Of(policy.PerTryTimeout)
	case v1alpha1.RetryOnDNSFailure:
		return policy.Of(policy.DNSFailure)
	case v1alpha1.RetryOnGatewayError:
		return policy.Of(policy.GatewayError)
	case v1alpha1.RetryOnServerError:
		return policy.Of(policy.ServerError)
	case v1alpha1.RetryOnRateLimited:
		return policy.Of(policy.RateLimited)
	case v1alpha1.RetryOnConflict:
		return policy.Of(policy.Conflict)
	case v1alpha1.RetryOnRetryAfter:
		return policy.Of(policy.RetryAfterPresent)
	}
	return 0
}

func conditionsOf(list []v1alpha1.RetryCondition) policy.Conditions {
	var set policy.Conditions
	for _, c := range list {
		set |= conditionOf(c)
	}
	return set
}

// grpcNumber returns the number of a gRPC status.
func grpcNumber(s v1alpha1.GRPCStatus) (policy.GRPCStatus, bool) {
	names := [...]v1alpha1.GRPCStatus{1: "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
		"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}
	for i, n := range names {
		if i > 0 && n == s {
			return policy.GRPCStatus(i), true
		}
	}
	return 0, false
}

func grpcOf(list []v1alpha1.GRPCStatus) []policy.GRPCStatus {
	var out []policy.GRPCStatus
	for _, s := range list {
		if n, ok := grpcNumber(s); ok {
			out = append(out, n)
		}
	}
	return out
}

// statusesOf reads "5xx", "503" and "502-504".
func statusesOf(list []v1alpha1.StatusCode) []policy.StatusRange {
	var out []policy.StatusRange
	for _, c := range list {
		if r, ok := statusRange(string(c)); ok {
			out = append(out, r)
		}
	}
	return out
}

func statusRange(s string) (policy.StatusRange, bool) {
	if class, ok := strings.CutSuffix(s, "xx"); ok {
		n, err := strconv.ParseUint(class, 10, 8)
		return policy.StatusRange{From: uint16(n) * 100, To: uint16(n)*100 + 99}, err == nil
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	return policy.StatusRange{From: uint16(a), To: uint16(b)}, errA == nil && errB == nil && a <= b
}

func strategyOf(s v1alpha1.BackoffStrategy) policy.Strategy {
	switch s {
	case v1alpha1.BackoffFixed:
		return policy.Fixed
	case v1alpha1.BackoffLinear:
		return policy.Linear
	case v1alpha1.BackoffExponential:
	}
	return policy.Exponential
}

func jitterOf(j v1alpha1.Jitter) policy.Jitter {
	switch j {
	case v1alpha1.JitterNone:
		return policy.JitterNone
	case v1alpha1.JitterEqual:
		return policy.JitterEqual
	case v1alpha1.JitterAdditive:
		return policy.JitterAdditive
	case v1alpha1.JitterProportional:
		return policy.JitterProportional
	case v1alpha1.JitterDecorrelated:
		return policy.JitterDecorrelated
	case v1alpha1.JitterFull:
	}
	return policy.JitterFull
}

func idempotencyOf(m v1alpha1.IdempotencyMode) policy.Idempotency {
	switch m {
	case v1alpha1.IdempotencySafeMethods:
		return policy.SafeMethods
	case v1alpha1.IdempotencyIdempotentOrKeyed:
		return policy.IdempotentOrKeyed
	case v1alpha1.IdempotencyAny:
		return policy.AnyMethod
	case v1alpha1.IdempotencyIdempotentMethods:
	}
	return policy.IdempotentMethods
}

func loadBalancingOf(p v1alpha1.LoadBalancingPolicy) policy.LoadBalancing {
	switch p {
	case v1alpha1.LoadBalancingRoundRobin:
		return policy.RoundRobin
	case v1alpha1.LoadBalancingRandom:
		return policy.RandomEndpoint
	case v1alpha1.LoadBalancingClusterIP:
		return policy.ClusterIP
	case v1alpha1.LoadBalancingLeastRequest:
	}
	return policy.LeastRequest
}

func accessLogOf(a v1alpha1.AccessLog) policy.AccessLog {
	switch a {
	case v1alpha1.AccessLogNone:
		return policy.AccessLogOff
	case v1alpha1.AccessLogAll:
		return policy.AccessLogAll
	case v1alpha1.AccessLogErrors:
	}
	return policy.AccessLogErrors
}

func protocolOf(p v1alpha1.Protocol) policy.Protocol {
	switch p {
	case v1alpha1.ProtocolHTTP:
		return policy.ProtocolHTTP
	case v1alpha1.ProtocolHTTP2:
		return policy.ProtocolHTTP2
	case v1alpha1.ProtocolGRPC:
		return policy.ProtocolGRPC
	case v1alpha1.ProtocolTLS:
		return policy.ProtocolTLS
	case v1alpha1.ProtocolTCP:
		return policy.ProtocolTCP
	case v1alpha1.ProtocolAuto:
	}
	return policy.ProtocolAuto
}

// setDuration stores d in dst if d is set. The API server has checked its form.
func setDuration[D ~string](dst *time.Duration, d D) {
	if v, err := v1alpha1.Duration(d).Parse(); err == nil {
		*dst = v
	}
}

// setInt stores *n in dst if it is set.
func setInt(dst *int, n *int32) {
	if n != nil {
		*dst = int(*n)
	}
}

// setBool stores *b in dst if it is set.
func setBool(dst *bool, b *bool) {
	if b != nil {
		*dst = *b
	}
}
