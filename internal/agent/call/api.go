package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// Plan is what governs a call, resolved before it begins; a call sees exactly this from start to end (rule 33).
type Plan struct {
	// Settings must not change while a call uses them.
	Settings *policy.Settings
	// Breaker is asked before every try; nil means none.
	Breaker *resilience.Breaker
	// Budget bounds retries; nil means no bound.
	Budget *resilience.Budget
	// Random draws from [0, 1) for this worker only.
	Random func() float64
}

// Do is what the driver does next.
type Do uint8

const (
	// Continue: nothing changes; go on with the I/O under way. Only Until may have moved. Also the answer to events that
	// come after the end of a call, which have no effect.
	Continue Do = iota
	// Wait: do nothing until Action.Until, then report Timer. The client's departure must be noticed meanwhile
	// (rule 4).
	Wait
	// StartTry: pick an endpoint (avoiding those of earlier tries when Action.Avoid), take a connection and send the request.
	StartTry
	// Forward: forward the response just reported. The call has ended but for its body, which Until may bound
	// (timeouts.maxDuration): cut the exchange then, there is nothing to report.
	Forward
	// ForwardKept: forward the response kept earlier (Action.Keep): the last real one (rule 10).
	ForwardKept
	// Reject: answer locally, as Call.Outcome says.
	Reject
	// Abort: the client is gone; free everything, answer nothing.
	Abort
)

// Start says what kind of try is started.
type Start uint8

// The kinds of starts.
const (
	// First: the call's first try.
	First Start = iota
	// Retry: a try after a failure that the policy retries.
	Retry
	// Repair: the try after one that met a dead kept-alive connection (rule 8): the pool failed, not the upstream.
	Repair
	// StartCount is the number of kinds.
	StartCount
)

var starts = [StartCount]string{First: "first", Retry: "retry", Repair: "repair"}

// String returns the kind as metrics and logs show it.
func (s Start) String() string { return starts[min(s, Repair)] }

// Limit names the deadline that Action.Until stands for.
type Limit uint8

// The limits.
const (
	// NoLimit: there is no deadline.
	NoLimit Limit = iota
	// LimitOverall is timeouts.overall.
	LimitOverall
	// LimitClient is the client's own deadline.
	LimitClient
	// LimitMaxDuration is timeouts.maxDuration.
	LimitMaxDuration
	// LimitPerTry is timeouts.perTry.
	LimitPerTry
	// LimitResponseHeader is timeouts.responseHeader.
	LimitResponseHeader
)

// Action is a Call's answer to an event.
type Action struct {
	Do Do
	// Start says what kind of try StartTry starts.
	Start Start
	// Until is when the driver reports Timer if nothing else happened before; zero means never.
	Until time.Time
	// Cancel: before anything else, abandon the try under way: close its connection, or reset its stream.
	Cancel bool
	// Keep: hold on to the response just reported, it may have to be forwarded later; a response kept earlier is dropped.
	Keep bool
	// Avoid: choose an endpoint that this call has not tried yet, if there is one.
	Avoid bool
	// Fresh: make a new connection, do not take a kept-alive one (rule 8).
	Fresh bool
}

// Method is what the idempotency gate needs to know of a request's method.
type Method uint8

// The method classes (RFC 9110 sections 9.2.1 and 9.2.2).
const (
	Safe Method = iota
	Idempotent
	Unsafe
)

// Request is what a Call needs to know of a request.
type Request struct {
	Method Method
	// Keyed: the request carries the policy's key header (or the agent has added one).
	Keyed bool
	// HasBody: a request body follows the head, and is not in memory as a whole. One that is, and stays there until the call
	// ends, can always be sent again, and may be left out here.
	HasBody bool
	// Timeout is the client's own deadline (grpc-timeout); zero means none.
	Timeout time.Duration
}

// Response is what a Call needs to know of a response head.
type Response struct {
	Status int
	// RetryAfter is the parsed Retry-After or pushback delay; HasRetryAfter says that there was a valid one.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// HeaderMatched: the response carries one of retry.responseHeaders.
	HeaderMatched bool
	// GRPCStatus is the grpc-status in the head, or -1.
	GRPCStatus int
	// RequestUnfinished: the head arrived while the request body was still being sent (rule 20). Not set while the
	// client holds its body back for a 100 (Continue) that never came: there is nothing to send.
	RequestUnfinished bool
}
