package v1alpha1

// Observability says what is logged, traced and reported about governed calls.
type Observability struct {
	// accessLog says which calls are logged. Defaults to Errors.
	// +optional
	AccessLog AccessLog `json:"accessLog,omitempty"`

	// tracing has the agent make a span of a call and one of each of its
	// attempts, and say in traceparent (W3C Trace Context) which attempt it is.
	// Absent, no call is traced and traceparent passes as it is. Spans go where
	// the agent is configured to export them; without that nothing is traced.
	// +optional
	Tracing *Tracing `json:"tracing,omitempty"`

	// requestHeaders adds header fields to requests. Absent adds none.
	// +optional
	RequestHeaders *RequestHeaders `json:"requestHeaders,omitempty"`
}

// AccessLog says which calls are logged.
// +kubebuilder:validation:Enum=None;Errors;All
type AccessLog string

const (
	// AccessLogNone logs no call.
	AccessLogNone AccessLog = "None"
	// AccessLogErrors logs calls that failed in the end.
	AccessLogErrors AccessLog = "Errors"
	// AccessLogAll logs every call.
	AccessLogAll AccessLog = "All"
)

// Tracing says which calls are traced.
type Tracing struct {
	// samplePercent is the share of calls, among those whose caller has not
	// decided, that are traced. Where the caller says in traceparent whether
	// its trace is recorded, that decides. 0 traces only what callers trace.
	// Defaults to 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SamplePercent *int32 `json:"samplePercent,omitempty"`
}

// RequestHeaders adds header fields to requests.
type RequestHeaders struct {
	// attempt adds fairlead-attempt with the number of the attempt, from 1, and
	// the reason of a retry, such as 2;reason=reset. Defaults to false.
	// +optional
	Attempt *bool `json:"attempt,omitempty"`
}
