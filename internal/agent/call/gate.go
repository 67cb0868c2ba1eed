package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// verdict is what the policy thinks of how a try ended.
type verdict struct {
	// failure: the try was not good enough, whether or not the policy retries it.
	failure bool
	// retryable: retry.when, statusCodes, responseHeaders, grpcStatuses or an override ask for a retry.
	retryable bool
	// breakerFails: the circuit breaker counts the try as failed.
	breakerFails bool
	// limit and backoff are those of the override that matches, or of the retry block.
	limit   int
	backoff *policy.Backoff
}

// trait is what a failed try, or a response, has for the policy's lists to match.
type trait struct {
	conditions policy.Conditions
	status     int
	grpc       int // -1: none
	header     bool
}

func verdictOnFailure(s *policy.Settings, f *Failure) verdict {
	t := trait{conditions: failureConditions(f), grpc: -1}
	v := judge(s, &t)
	v.failure = true
	return v
}

func verdictOnResponse(s *policy.Settings, r *Response) verdict {
	t := trait{conditions: responseConditions(r), status: r.Status, grpc: r.GRPCStatus, header: r.HeaderMatched}
	v := judge(s, &t)
	v.failure = r.Status >= 500 || r.Status == 429 || grpcFailed(r.GRPCStatus)
	return v
}

func judge(s *policy.Settings, t *trait) verdict {
	r := &s.Retry
	v := verdict{limit: r.MaxRetries, backoff: &r.Backoff}
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

// failureConditions names the classes of a try that ended without a response.
func failureConditions(f *Failure) policy.Conditions {
	switch f.Kind {
	case ConnectFailed, ConnectTimeout:
		return policy.Of(policy.ConnectFailure)
	case AttemptTimeout:
		return policy.Of(policy.PerTryTimeout)
	case RefusedStream:
		return policy.Of(policy.RefusedStream)
	case Reset:
		if f.unsent() {
			return policy.Of(policy.Reset, policy.ResetBeforeRequest)
		}
		return policy.Of(policy.Reset)
	case BadResponse: // the connection is dropped for it: no response headers came of it
		return policy.Of(policy.Reset)
	case OK, ClientGone, Deadline, Overflow, BreakerOpen, RateLimited, Internal, KindCount:
	}
	return 0
}

// responseConditions names the classes of a response; none below 400, whatever it carries.
func responseConditions(r *Response) policy.Conditions {
	var c policy.Conditions
	if r.Status < 400 {
		return c
	}
	switch r.Status {
	case 409:
		c |= policy.Of(policy.Conflict)
	case 429:
		c |= policy.Of(policy.RateLimited)
	case 502, 503, 504:
		c |= policy.Of(policy.GatewayError)
	}
	if r.Status >= 500 && r.Status != 501 {
		c |= policy.Of(policy.ServerError)
	}
	if r.HasRetryAfter {
		c |= policy.Of(policy.RetryAfterPresent)
	}
	return c
}

// grpcFailed reports whether a gRPC status is the server's fault: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL,
// UNAVAILABLE or DATA_LOSS.
func grpcFailed(status int) bool {
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

// gates asks, in the order of rule 9, whether the try just ended may be followed by another, and after how long.
// The first gate that says no is the call's fate. r is nil if there was no response.
func (c *Call) gates(now time.Time, v *verdict, r *Response) (time.Duration, RetryDecision, bool) {
	unsent := r == nil && c.last.unsent()
	if !unsent && !c.methodAllows() {
		return 0, ByMethod, false
	}
	if !v.retryable || c.forwarded || r != nil && c.pushedBack(r) {
		return 0, NotRetryable, false
	}
	if b := c.plan.Budget; b != nil && !b.Allows(now) {
		return 0, ByBudget, false
	}
	delay, ok := c.delay(v, r)
	if !ok || passed(c.deadline, now.Add(delay)) {
		return 0, ByDeadline, false
	}
	if c.bodyGone() || r != nil && r.RequestUnfinished {
		return 0, ByBody, false
	}
	if c.retries >= v.limit {
		return 0, Exhausted, false
	}
	return delay, NotNeeded, true
}

// methodAllows is the idempotency gate.
func (c *Call) methodAllows() bool {
	switch c.plan.Settings.Retry.Idempotency {
	case policy.SafeMethods:
		return c.request.Method == Safe
	case policy.IdempotentMethods:
		return c.request.Method != Unsafe
	case policy.IdempotentOrKeyed:
		return c.request.Method != Unsafe || c.request.Keyed
	case policy.AnyMethod:
		return true
	}
	return false
}

// bodyGone reports whether the request has a body of which a part was sent and not kept.
func (c *Call) bodyGone() bool {
	return c.request.HasBody && (c.lost || c.sent && !c.replays)
}

// delay draws the backoff and raises it to what the upstream asked for (rule 14). It says no when that is more
// than the policy honours.
func (c *Call) delay(v *verdict, r *Response) (time.Duration, bool) {
	c.drawn = resilience.Delay(v.backoff, c.retries, c.drawn, c.plan.Random())
	wish := &c.plan.Settings.Retry.RetryAfter
	if r == nil || !r.HasRetryAfter || !wish.Honor {
		return c.drawn, true
	}
	if wish.Max > 0 && r.RetryAfter > wish.Max {
		return 0, false
	}
	return max(c.drawn, r.RetryAfter), true
}

// pushedBack reports a negative gRPC pushback: the server forbids a retry.
func (c *Call) pushedBack(r *Response) bool {
	return r.HasRetryAfter && r.RetryAfter < 0 && c.plan.Settings.Retry.RetryAfter.Honor
}
