package call

import (
	"fairlead.dev/fairlead/internal/policy"
)

// class is what the policy thinks of how an attempt ended.
type class struct {
	// failure: the attempt was not good enough, whether or not the policy retries it.
	failure bool
	// retryable: retry.when, statusCodes, responseHeaders, grpcStatuses or an override ask for a retry.
	retryable bool
	// breakerFails: the circuit breaker counts the attempt as failed.
	breakerFails bool
	// limit and backoff are those of the override that matches, or of the retry block.
	limit   int
	backoff *policy.Backoff
}

// traits are the properties of a failed attempt or a response that retry.when, statusCodes, responseHeaders and the breaker's lists match.
type traits struct {
	conditions policy.Conditions
	status     int
	grpc       int // -1: none
	header     bool
}

func classifyFailure(s *policy.Settings, f *Failure, unsent bool) class {
	t := traits{conditions: failureConditions(f.Kind, unsent), grpc: -1}
	v := classify(s, &t)
	v.failure = true
	v.retryable = v.retryable && f.Kind != TLSFailed && f.Kind != ProxyRefused
	return v
}

func classifyResponse(s *policy.Settings, r *Response) class {
	t := traits{conditions: responseConditions(r), status: r.Status, grpc: r.GRPCStatus, header: r.HeaderMatched}
	v := classify(s, &t)
	v.failure = r.Status >= 500 || r.Status == 429 || FailedGRPC(r.GRPCStatus)
	return v
}

func classify(s *policy.Settings, t *traits) class {
	r := &s.Retry
	v := class{limit: r.MaxRetries, backoff: &r.Backoff}
	asked := r.On.Intersects(t.conditions) || t.header || hasStatus(r.StatusCodes, t.status) || hasGRPC(r.GRPCStatuses, t.grpc)
	for i := range r.Overrides {
		o := &r.Overrides[i]
		if o.On.Intersects(t.conditions) || hasStatus(o.StatusCodes, t.status) || hasGRPC(o.GRPCStatuses, t.grpc) {
			v.limit, v.backoff = o.MaxRetries, &o.Backoff
			asked = true
			break
		}
	}
	v.retryable = asked && v.limit > 0
	if b := s.Breaker; b != nil {
		v.breakerFails = b.FailureOn.Intersects(t.conditions) || hasStatus(b.FailureStatus, t.status) || hasGRPC(b.FailureGRPC, t.grpc)
	}
	return v
}

// failureConditions names the classes of an attempt that ended without a response.
func failureConditions(k Kind, unsent bool) policy.Conditions {
	switch k {
	case ConnectFailed, ConnectTimeout, TLSFailed, ProxyRefused: // of which the last two are never retried
		return policy.Of(policy.ConnectFailure)
	case DNSFailed: // nor could it be connected to
		return policy.Of(policy.ConnectFailure, policy.DNSFailure)
	case AttemptTimeout:
		return policy.Of(policy.PerTryTimeout)
	case RefusedStream:
		return policy.Of(policy.RefusedStream)
	case Reset:
		if unsent {
			return policy.Of(policy.Reset, policy.ResetBeforeRequest)
		}
		return policy.Of(policy.Reset)
	case BadResponse: // the connection is dropped for it: no response headers came of it
		return policy.Of(policy.Reset)
	case OK, ClientGone, Superseded, Deadline, Overflow, BreakerOpen, RateLimited, Injected, Internal, KindCount:
	}
	return 0
}

// responseConditions names the classes of a response; none of one that reports no error, whatever it carries. A pushback is to a gRPC call
// what Retry-After is to others.
func responseConditions(r *Response) policy.Conditions {
	var c policy.Conditions
	if r.Status < 400 && r.GRPCStatus <= 0 {
		return c
	}
	switch r.Status {
	case 409:
		c |= policy.Of(policy.Conflict)
	case 502, 503, 504:
		c |= policy.Of(policy.GatewayError)
	}
	if Limited(r.Status) {
		c |= policy.Of(policy.RateLimited)
	}
	if r.Status >= 500 && r.Status != 501 {
		c |= policy.Of(policy.ServerError)
	}
	if r.HasRetryAfter && r.RetryAfter >= 0 && !r.OfLimit {
		c |= policy.Of(policy.RetryAfterPresent)
	}
	return c
}

// Limited reports whether a status says that there were too many requests: 429, or 529, which is not registered and which some servers answer
// with when all their clients together send too many.
func Limited(status int) bool { return status == 429 || status == 529 }

// FailedGRPC reports whether a gRPC status is the server's fault: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL,
// UNAVAILABLE or DATA_LOSS.
func FailedGRPC(status int) bool {
	switch status {
	case 2, 4, 8, 13, 14, 15:
		return true
	}
	return false
}

func hasStatus(ranges []policy.StatusRange, status int) bool {
	for _, r := range ranges {
		if int(r.From) <= status && status <= int(r.To) {
			return true
		}
	}
	return false
}

func hasGRPC(list []policy.GRPCStatus, status int) bool {
	for _, s := range list {
		if int(s) == status {
			return true
		}
	}
	return false
}
