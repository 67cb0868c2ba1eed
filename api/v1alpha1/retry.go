package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Retry says which failed calls are tried again, how often and when. A failure
// is retried when its cause is asked for (when, statusCodes, responseHeaders,
// grpcStatuses, overrides), idempotency allows it, the budget has room, the
// deadline leaves time, and the request's body is still at hand.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxRetries) || self.maxRetries > 0 || !has(self.hedging) || (has(self.hedging.maxHedges) && self.hedging.maxHedges == 0)",fieldPath=".hedging",message="maxRetries: 0 also forbids hedging: raise maxRetries or remove hedging"
type Retry struct {
	// maxRetries is how many times a call may be tried again after its first
	// attempt. Defaults to 2. Set to 0 to disable retries.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	MaxRetries *int32 `json:"maxRetries,omitempty"`

	// when lists the causes of failure that are retried: ConnectFailure (no
	// connection in time), RefusedStream (HTTP/2, not processed),
	// ResetBeforeRequest (lost before any byte was sent), Reset (lost before
	// the response headers), PerTryTimeout, DNSFailure, GatewayError (502, 503,
	// 504), ServerError (5xx but 501), RateLimited (429, 529), Conflict (409),
	// RetryAfter (an error with that header field). Defaults to ConnectFailure,
	// RefusedStream and ResetBeforeRequest: what is provably unprocessed. An
	// empty list retries on no cause.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	When []RetryCondition `json:"when,omitzero"`

	// statusCodes lists response statuses that are retried, besides those
	// that when means, such as 503, 502-504 or 5xx. Absent or empty means none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	StatusCodes []StatusCode `json:"statusCodes,omitzero"`

	// responseHeaders lists response header fields that make a response be
	// retried. Absent or empty means none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ResponseHeaders []HeaderMatch `json:"responseHeaders,omitzero"`

	// grpcStatuses lists gRPC statuses that are retried, in headers or in
	// trailers, as long as no message was forwarded. gRPC calls are POST, which
	// idempotency has to let be repeated. Absent or empty means none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	GRPCStatuses []GRPCStatus `json:"grpcStatuses,omitzero"`

	// overrides give causes their own number of retries and backoff. The
	// first entry that lists the cause counts. A cause listed here is retried
	// as if it stood in when; with maxRetries: 0 never.
	// Absent or empty means none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Overrides []RetryOverride `json:"overrides,omitzero"`

	// backoff is the wait before a retry.
	// +optional
	Backoff *Backoff `json:"backoff,omitempty"`

	// retryAfter says what a server's wish (retry-after-ms, Retry-After, with
	// 429 and 529 x-ratelimit-reset, or a gRPC pushback) does to that wait.
	// +optional
	RetryAfter *RetryAfter `json:"retryAfter,omitempty"`

	// idempotency says which requests may be sent twice.
	// +optional
	Idempotency *Idempotency `json:"idempotency,omitempty"`

	// budget bounds retries and hedges in proportion to calls, against retry
	// storms.
	// +optional
	Budget *RetryBudget `json:"budget,omitempty"`

	// body bounds what is kept of a request's body to send it again.
	// +optional
	Body *ReplayBody `json:"body,omitempty"`

	// avoidPreviousEndpoints sends a retry to an endpoint that was not tried
	// for this call, while there is one. Defaults to true.
	// +optional
	AvoidPreviousEndpoints *bool `json:"avoidPreviousEndpoints,omitempty"`

	// hedging starts another attempt while one still waits. Absent means off.
	// +optional
	Hedging *Hedging `json:"hedging,omitempty"`

	// alreadyRetried says what becomes of calls that arrive marked as a retry:
	// with fairlead-attempt above 1, or grpc-previous-rpc-attempts. Defaults to
	// Ignore.
	// +optional
	AlreadyRetried AlreadyRetried `json:"alreadyRetried,omitempty"`
}

// AlreadyRetried says what becomes of calls that arrive marked as a retry.
// +kubebuilder:validation:Enum=Ignore;Skip
type AlreadyRetried string

const (
	// AlreadyRetriedIgnore retries and hedges them like others.
	AlreadyRetriedIgnore AlreadyRetried = "Ignore"
	// AlreadyRetriedSkip neither retries nor hedges them: who has marked them
	// does, and retries on every level would multiply.
	AlreadyRetriedSkip AlreadyRetried = "Skip"
)

// RetryCondition is a cause of failure.
// +kubebuilder:validation:Enum=ConnectFailure;RefusedStream;ResetBeforeRequest;Reset;PerTryTimeout;DNSFailure;GatewayError;ServerError;RateLimited;Conflict;RetryAfter
type RetryCondition string

const (
	// RetryOnConnectFailure is a connection that could not be opened in time.
	RetryOnConnectFailure RetryCondition = "ConnectFailure"
	// RetryOnRefusedStream is an HTTP/2 stream that the server did not process.
	RetryOnRefusedStream RetryCondition = "RefusedStream"
	// RetryOnResetBeforeRequest is a connection lost before any byte of the
	// request was sent on it.
	RetryOnResetBeforeRequest RetryCondition = "ResetBeforeRequest"
	// RetryOnReset is a connection lost before the response headers.
	RetryOnReset RetryCondition = "Reset"
	// RetryOnPerTryTimeout is an attempt that took longer than perTry or
	// responseHeader.
	RetryOnPerTryTimeout RetryCondition = "PerTryTimeout"
	// RetryOnDNSFailure is the name of a proxy (to[].via) that could not be
	// resolved, which is a ConnectFailure too. Pods resolve other names
	// themselves, before they call.
	RetryOnDNSFailure RetryCondition = "DNSFailure"
	// RetryOnGatewayError is a response with status 502, 503 or 504.
	RetryOnGatewayError RetryCondition = "GatewayError"
	// RetryOnServerError is a response with a 5xx status other than 501.
	RetryOnServerError RetryCondition = "ServerError"
	// RetryOnRateLimited is a response with status 429 or 529.
	RetryOnRateLimited RetryCondition = "RateLimited"
	// RetryOnConflict is a response with status 409.
	RetryOnConflict RetryCondition = "Conflict"
	// RetryOnRetryAfter is an error response carrying Retry-After or
	// retry-after-ms, or one of gRPC carrying grpc-retry-pushback-ms.
	RetryOnRetryAfter RetryCondition = "RetryAfter"
)

// HeaderMatch describes responses by a header field.
type HeaderMatch struct {
	// name is the field's name; case does not matter.
	// +required
	Name HeaderName `json:"name"`

	// value is the field's whole value, byte by byte. Absent means any value.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
}

// RetryOverride gives causes of failure their own retries.
//
// +kubebuilder:validation:XValidation:rule="has(self.when) || has(self.statusCodes) || has(self.grpcStatuses)",message="an override must say which failures it is for: set when, statusCodes or grpcStatuses"
// +kubebuilder:validation:XValidation:rule="has(self.maxRetries) || has(self.backoff)",message="an override must change something: set maxRetries or backoff"
type RetryOverride struct {
	// when lists the causes this entry is for: ConnectFailure, RefusedStream,
	// ResetBeforeRequest, Reset, PerTryTimeout, DNSFailure, GatewayError,
	// ServerError, RateLimited, Conflict, RetryAfter.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	When []RetryCondition `json:"when,omitempty"`

	// statusCodes lists the response statuses this entry is for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	StatusCodes []StatusCode `json:"statusCodes,omitempty"`

	// grpcStatuses lists the gRPC statuses this entry is for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	GRPCStatuses []GRPCStatus `json:"grpcStatuses,omitempty"`

	// maxRetries replaces retry.maxRetries after such a failure: the call is
	// tried again if it was retried, for whatever cause, fewer times than
	// this. Absent means retry.maxRetries.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	MaxRetries *int32 `json:"maxRetries,omitempty"`

	// backoff replaces retry.backoff, as a whole, before such a retry. Absent
	// means retry.backoff.
	// +optional
	Backoff *Backoff `json:"backoff,omitempty"`
}

// RetryAfter says what a server's wish for a wait does. The wish can lengthen
// the backoff, never shorten it.
type RetryAfter struct {
	// honor waits as long as the server asks for. Defaults to true.
	// +optional
	Honor *bool `json:"honor,omitempty"`

	// max is the longest wait that is honored; a server that asks for more is
	// not tried again. Defaults to 30s.
	// +optional
	Max Duration `json:"max,omitempty"`
}

// Idempotency says which requests may be sent twice. Requests that provably did
// not reach the server may always be sent again.
//
// +kubebuilder:validation:XValidation:rule="!has(self.generateKey) || !self.generateKey || (has(self.mode) && self.mode == 'IdempotentOrKeyed')",fieldPath=".generateKey",message="generateKey needs mode: IdempotentOrKeyed, or the keys would change nothing"
type Idempotency struct {
	// mode says which requests may be sent twice. Defaults to
	// IdempotentMethods.
	// +optional
	Mode IdempotencyMode `json:"mode,omitempty"`

	// keyHeader is the header field that makes a request keyed, unless it is
	// empty or named by Connection. Defaults to Idempotency-Key.
	// +optional
	KeyHeader HeaderName `json:"keyHeader,omitempty"`

	// generateKey adds that field to requests that lack it, but those with a safe
	// method and CONNECT: the same on every attempt of a call, different between
	// calls. Only for servers that honor such keys. Defaults to false.
	// +optional
	GenerateKey *bool `json:"generateKey,omitempty"`
}

// IdempotencyMode says which requests may be sent twice.
// +kubebuilder:validation:Enum=SafeMethods;IdempotentMethods;IdempotentOrKeyed;Any
type IdempotencyMode string

const (
	// IdempotencySafeMethods allows the methods registered as safe (IANA): GET, HEAD, OPTIONS, TRACE, PROPFIND, QUERY, REPORT and SEARCH.
	IdempotencySafeMethods IdempotencyMode = "SafeMethods"
	// IdempotencyIdempotentMethods also allows those registered as idempotent: PUT, DELETE and most methods of WebDAV.
	IdempotencyIdempotentMethods IdempotencyMode = "IdempotentMethods"
	// IdempotencyIdempotentOrKeyed also allows requests carrying keyHeader.
	IdempotencyIdempotentOrKeyed IdempotencyMode = "IdempotentOrKeyed"
	// IdempotencyAny allows every request: the user vouches for the server.
	IdempotencyAny IdempotencyMode = "Any"
)

// RetryBudget bounds the starts of retries and hedges over a sliding window.
type RetryBudget struct {
	// percent is how many retries may start per 100 calls. Defaults to 20.
	// With 0, only minRetriesPerSecond counts.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`

	// minRetriesPerSecond is how many retries per second may start in any
	// case. Defaults to 10.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MinRetriesPerSecond *int32 `json:"minRetriesPerSecond,omitempty"`

	// window is the time over which calls and retries are counted, from 1s to
	// 10m. Defaults to 10s.
	// +optional
	Window Window `json:"window,omitempty"`
}

// ReplayBody bounds what is kept of a request's body.
type ReplayBody struct {
	// maxBytes is how much of a request's body is kept to send it again.
	// Larger bodies stream and are not retried. Defaults to 64Ki; 0 keeps
	// none; at most 16Mi.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? (int(self) >= 0 && int(self) <= 16777216) : (self.matches('^[0-9]{1,10}(k|Ki|M|Mi)?$') && quantity(string(self)).compareTo(quantity('16Mi')) <= 0)",message="write a size from 0 to 16Mi, in bytes or with the unit k, Ki, M or Mi, such as 64Ki"
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`
}

// Hedging starts another attempt while the earlier ones still wait, of calls that
// may be repeated. Each counts as a retry.
//
// +kubebuilder:validation:XValidation:rule="(has(self.maxHedges) && self.maxHedges == 0) || has(self.delay) != has(self.percentile)",message="hedging needs exactly one of delay and percentile (or maxHedges: 0 for none)"
// +kubebuilder:validation:XValidation:rule="!has(self.delay) || !self.delay.matches('^[0hms]+$')",fieldPath=".delay",message="hedging.delay must be longer than 0s"
type Hedging struct {
	// delay is how long an attempt may wait before another is started beside it.
	// +optional
	Delay Duration `json:"delay,omitempty"`

	// percentile takes the delay from the destination's recent latencies. It is
	// at least 1ms.
	// +optional
	// +kubebuilder:validation:Minimum=50
	// +kubebuilder:validation:Maximum=99
	Percentile *int32 `json:"percentile,omitempty"`

	// maxHedges is how many attempts may run beside the first. Defaults to 1;
	// 0 removes what an earlier policy set.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3
	MaxHedges *int32 `json:"maxHedges,omitempty"`
}
