package call

import "time"

// Kind is how an attempt or a call ended. It is a closed enum: also the metric label and the reason in the access log.
type Kind uint8

// The outcome kinds.
const (
	// OK: a complete response head arrived from the upstream, whatever its status.
	OK Kind = iota
	// ClientGone: the client closed or reset before the call ended. Never an upstream failure.
	ClientGone
	// ConnectFailed: the connection could not be made (refused, unreachable, reset during the TLS handshake).
	ConnectFailed
	// ConnectTimeout: timeouts.connect or timeouts.tlsHandshake passed.
	ConnectTimeout
	// DNSFailed: no address was found of the name that is to be connected to.
	DNSFailed
	// AttemptTimeout: timeouts.perTry or timeouts.responseHeader passed.
	AttemptTimeout
	// Deadline: timeouts.overall passed.
	Deadline
	// Reset: the connection broke after it was made and before the response head was complete.
	Reset
	// RefusedStream: the peer said that it did not process the request (HTTP/2).
	RefusedStream
	// BadResponse: the upstream's response broke the protocol.
	BadResponse
	// ProxyRefused: the proxy through which the upstream is called does not let the call through. It would not do so the next time either.
	ProxyRefused
	// TLSFailed: the upstream was reached, but TLS with it cannot be: its certificate, ours, or what it speaks is not acceptable. It would
	// fail the same way again.
	TLSFailed
	// Superseded: another attempt of the call was answered first. Never a call's.
	Superseded
	// Overflow: the pool's queue was full or the wait in it too long.
	Overflow
	// BreakerOpen: the circuit breaker refused the call.
	BreakerOpen
	// RateLimited: a rate limit refused the call.
	RateLimited
	// Injected: a fault of the policy's own (policy.Faults) answered, or reset. It is no upstream's.
	Injected
	// Internal: the agent itself failed.
	Internal
	// KindCount is the number of kinds.
	KindCount
)

// The statuses of gRPC that the agent answers with.
const (
	grpcCancelled         = 1
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// kinds holds what is known of each Kind: its name, and how a call that ends with it is answered (rule 26), in HTTP and in gRPC.
var kinds = [KindCount]struct {
	name, reason string
	status, grpc int
}{
	OK:             {name: "ok", grpc: -1},
	ClientGone:     {name: "client_gone", grpc: grpcCancelled},
	ConnectFailed:  {"connect_failure", "connect_failure", 502, grpcUnavailable},
	ConnectTimeout: {"connect_timeout", "connect_failure", 502, grpcUnavailable},
	DNSFailed:      {"dns", "dns", 502, grpcUnavailable},
	AttemptTimeout: {"per_try_timeout", "per_try_timeout", 504, grpcDeadlineExceeded},
	Deadline:       {"deadline", "deadline", 504, grpcDeadlineExceeded},
	Reset:          {"reset", "reset", 502, grpcUnavailable},
	RefusedStream:  {"refused_stream", "reset", 502, grpcUnavailable},
	BadResponse:    {"protocol", "protocol", 502, grpcInternal},
	ProxyRefused:   {"proxy_refused", "proxy", 502, grpcUnavailable},
	TLSFailed:      {"tls", "tls", 502, grpcUnavailable},
	Superseded:     {name: "superseded", grpc: -1},
	Overflow:       {"pool_overflow", "pool_overflow", 503, grpcUnavailable},
	BreakerOpen:    {"circuit_open", "circuit_open", 503, grpcUnavailable},
	RateLimited:    {"rate_limited", "rate_limited", 429, grpcResourceExhausted},
	Injected:       {"fault_injected", "fault_injected", 502, grpcUnavailable},
	Internal:       {"internal", "internal", 500, grpcInternal},
}

// String returns the kind as metrics and logs show it.
func (k Kind) String() string { return kinds[min(k, Internal)].name }

// Reason returns the value of the fairlead-reason header of an answer the agent makes up; empty for OK and ClientGone.
func (k Kind) Reason() string { return kinds[min(k, Internal)].reason }

// Status returns the HTTP status of an answer the agent makes up; 0 for OK and ClientGone.
func (k Kind) Status() int { return kinds[min(k, Internal)].status }

// GRPCStatus returns the status of an answer the agent makes up to a gRPC call; -1 for OK. For ClientGone it is what the client itself
// takes for the end.
func (k Kind) GRPCStatus() int { return kinds[min(k, Internal)].grpc }

// RetryDecision says why a call was retried or not: the answer to "why was this request (not) retried?" (rule 9).
type RetryDecision uint8

// The decisions, in the order in which the questions are asked.
const (
	// NotNeeded: the first attempt was good enough.
	NotNeeded RetryDecision = iota
	// Recovered: a retry succeeded.
	Recovered
	// ByMethod: the policy does not let this method be repeated.
	ByMethod
	// NotRetryable: the failure is not among retry.when, statusCodes or responseHeaders, or retries are switched off.
	NotRetryable
	// AlreadyRetried: the call has arrived as a retry, and the policy leaves retrying to who has marked it.
	AlreadyRetried
	// ByBudget: the retry budget was used up.
	ByBudget
	// ByDeadline: the wait or the next attempt would not fit the overall deadline, or Retry-After was larger than allowed.
	ByDeadline
	// ByBody: the request body could not be replayed.
	ByBody
	// Exhausted: maxRetries were used.
	Exhausted
	// Refused: the agent's own rejection (limit, open breaker, pool overflow); never retried.
	Refused
	// Abandoned: the client went away.
	Abandoned
	// RetryDecisionCount is the number of decisions.
	RetryDecisionCount
)

var decisionNames = [RetryDecisionCount]string{
	NotNeeded: "not_needed", Recovered: "recovered", ByMethod: "method", NotRetryable: "not_retryable", AlreadyRetried: "already_retried", ByBudget: "budget",
	ByDeadline: "deadline", ByBody: "body", Exhausted: "exhausted", Refused: "refused", Abandoned: "abandoned",
}

// String returns the decision as metrics and logs show it.
func (d RetryDecision) String() string { return decisionNames[min(d, Abandoned)] }

// Outcome is how a call ended.
type Outcome struct {
	// Kind is how the call ended for the client: OK when it got an upstream's response, be it a kept one.
	Kind Kind
	// Cause is how the last attempt ended; it differs from Kind when the agent or the deadline had the last word.
	Cause    Kind
	Decision RetryDecision
	// Status is what the client is answered: the upstream's status, or Kind.Status(); 0 when the client is gone.
	Status int
	// GRPCStatus is the gRPC status that the client is answered; -1 if the call is not gRPC, or its status is not known (yet: before
	// Finished it may still be to come).
	GRPCStatus int
	// Unprocessed: no server can have processed the request.
	Unprocessed bool
	// Attempts counts the attempts started.
	Attempts int
	// Took is the time from Begin to the end, but for the response's body.
	Took time.Duration
	// Truncated is End.Truncated; false before Finished.
	Truncated bool
	// Hedges counts the attempts started beside others, and HedgeWon says that the response of one of them answers the call.
	Hedges   int
	HedgeWon bool
	// Fallback says whether the call was answered by its fallback. If that is the policy's own response, Kind is what it had failed by, OK for a
	// response, whose status is Upstream.
	Fallback FallbackAnswer
	Upstream int
	// Refusal says more where Kind is RateLimited.
	Refusal Refusal
	// Faults are those of the policy's own that the call has met. Where Kind is Injected one of them is the answer, with Status.
	Faults FaultCounts
}

// Refusal is how a gate did not let a call in.
type Refusal struct {
	// Gate is its place among the plan's.
	Gate int
	// RetryAfter is after how long it would have, as far as that is known.
	RetryAfter time.Duration
}

// FallbackAnswer says what of a fallback has answered a call.
type FallbackAnswer uint8

// What a fallback can answer.
const (
	NoFallback FallbackAnswer = iota
	// FellBackOnResponse: with the policy's own response.
	FellBackOnResponse
	// FellBackOnDestination: with the response of another destination. Outcome.Kind is OK then, and Outcome.Status that of the response.
	FellBackOnDestination
	// FallbackAnswerCount is the number of answers.
	FallbackAnswerCount
)

var fallbackNames = [FallbackAnswerCount]string{FellBackOnResponse: "response", FellBackOnDestination: "destination"}

// String returns the answer as metrics and logs show it.
func (f FallbackAnswer) String() string { return fallbackNames[min(f, FallbackAnswerCount-1)] }

// upstreamFailure is what stands for a response that reports a failure where reasons are given.
const upstreamFailure = "upstream_failure"

// Reason says why the agent answers by itself, as the fairlead-reason header does.
func (o *Outcome) Reason() string {
	if o.Kind == OK {
		return upstreamFailure
	}
	return o.Kind.Reason()
}

// Local reports whether the agent answers by itself; the fairlead-reason header is Kind.Reason() then.
func (o *Outcome) Local() bool { return o.Kind.Status() != 0 }
